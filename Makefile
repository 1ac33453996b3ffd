.PHONY: help check test slow nightly jobs demo bench

help:   ## this list
	@grep -E '^[a-z]+: *##' $(MAKEFILE_LIST) | sed 's/: *##/\t/'
check:  ## lint, format, types, job folders
	ruff check . && ruff format --check . && mypy && brainct jobs check
test:   ## the fast lane, some seven minutes
	pytest
slow:   ## the slow lane: starts FLARE's simulator, proof of concept and provisioned hospitals
	pytest -m 'slow and not nightly'
nightly: ## the slow lane with every job in the simulator
	pytest -m slow
jobs:   ## write jobs/ anew from the registry
	brainct jobs render
demo:   ## four synthetic hospitals in FLARE's simulator
	nvflare simulator jobs/feddc -w poc/simulator -n 4 -t 4
bench:  ## what brainct costs on top of a bare PyTorch loop
	python bench/rounds.py

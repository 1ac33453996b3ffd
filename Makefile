.PHONY: help check test slow nightly mutants jobs demo bench

help:   ## this list
	@grep -E '^[a-z]+: *##' $(MAKEFILE_LIST) | sed 's/: *##/\t/'
check:  ## lint, format, types, layers, job folders
	ruff check . && ruff format --check . && mypy && lint-imports && brainct jobs check
test:   ## the fast lane
	pytest
slow:   ## the slow lane: starts FLARE's simulator, proof of concept and provisioned hospitals
	pytest -m 'slow and not nightly'
nightly: ## both lanes with every job in the simulator, and six times as many examples of each property
	pytest -m slow
	BRAINCT_EXAMPLES=thorough pytest
mutants: ## which small faults in core/ and five schemes no test of theirs notices; some ten minutes
	python bench/mutants.py
jobs:   ## write jobs/ anew from the registry
	brainct jobs render
demo:   ## four synthetic hospitals in FLARE's simulator
	nvflare simulator jobs/feddc -w poc/simulator -n 4 -t 4
bench:  ## what brainct costs on top of a bare PyTorch loop
	python bench/rounds.py

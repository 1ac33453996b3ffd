"""Barriers between CT models trained on the phantom, from the same start and from different starts; docs/barriers.md.

    python bench/barriers.py --runs runs/barriers --docs docs/barriers

Trains and measures what is not there yet in the folder of the runs, and copies the pictures.
"""

import argparse
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import torch

from brainct.barriers.pair import Choices, interpolate
from brainct.barriers.subjects import Subject, measure_subject, models_of_files, models_of_run
from brainct.core.names import site_names
from brainct.core.serialization import write
from brainct.core.weights import Weights
from brainct.ct.metrics import scores
from brainct.job.config import Plan, plan_of
from brainct.pages.picture import write_pictures
from brainct.report.barriers_file import Barriers
from brainct.report.sections.barriers import pictures
from brainct.run.rehearse import rehearse

SITE = "kind: phantom\nphantom: {scans: 64}\nsplit: {train: 0.5, valid: 0.0, test: 0.5}\nbatch_size: 4\n"
"""32 training and 32 test scans a site."""

NETWORK = {"architecture": "vgg-small", "size": 48, "options": {"widths": [8, 16, 32, 64]}}
FIT = {"optimizer": "adamw", "rate": 0.003, "epochs": 3}
PASSES = 20
"""Passes that the sites of the federation train alone before their models are compared."""

SHOWN = ("path", "a", "cumulative", "perturbed")
"""Pictures that are copied beside the docs."""

FOLDS = ("train", "test")
CHOICES = Choices(points=9, refine=2, orders=1, samples=3, pairs=1)


def plan(seed: int, rounds: int) -> Plan:
    choices = {"network": NETWORK, "seed": seed, "rounds": rounds, "fit": FIT, "evaluate_every": 0}
    return plan_of({"scheme": "fedavg", **choices}, "the benchmark")


def trained(folder: Path, names: list[str], seed: int, rounds: int) -> Path:
    if not (folder / "model.safetensors").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        rehearse(plan(seed, rounds), names, folder, log=lambda line: None)
    return folder


def subjects(runs: Path, rounds: int) -> dict[str, Any]:
    def alone(site: str, seed: int) -> Path:
        return trained(runs / f"{site}-{seed}", [site], seed, rounds) / "model.safetensors"

    def federation() -> Subject:
        return models_of_run(trained(runs / "run", site_names(4), 1, rounds), PASSES)

    return {
        "federation": federation,
        "same-start": lambda: models_of_files([alone("site-1", 1), alone("site-2", 1)]),
        "different-starts": lambda: models_of_files([alone("site-1", 1), alone("site-2", 2)]),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--docs", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=20)
    chosen = parser.parse_args()
    chosen.runs.mkdir(parents=True, exist_ok=True)
    file = chosen.runs / "site.yaml"
    file.write_text(SITE)
    os.environ["BRAINCT_SITE"] = str(file)
    for name, make in subjects(chosen.runs, chosen.rounds).items():
        measure(name, make, chosen.runs, chosen.docs)


def measure(name: str, make: Any, runs: Path, docs: Path) -> None:
    file = runs / f"{name}.json"
    if not file.is_file():
        write(file, json.dumps(content_of(make), indent=1).encode())
    content = json.loads(file.read_text())
    for picture in write_pictures(pictures(Barriers.model_validate(content)), runs / name):
        kind = picture.stem.removeprefix("barriers-")
        if picture.suffix == ".svg" and kind in SHOWN:
            docs.mkdir(parents=True, exist_ok=True)
            shutil.copy(picture, docs / f"{name}-{kind}.svg")
    for fold, part in (("train", content), ("test", content["also"]["test"])):
        heights = {row["path"]: max(row["base_a"], row["base_b"]) for row in part["layers"]}
        numbers = {"losses": part["losses"], "full": part["full"]["barrier"], "layers": heights, **part["cumulative"]}
        rises = part["perturbations"]["whole"]
        print(json.dumps({"name": name, "fold": fold, "aurocs": content["aurocs"][fold], **numbers, "rises": rises}))
    print(json.dumps(content["seconds"]))


def content_of(make: Any) -> dict[str, Any]:
    """barriers.json, with AUROCs of any bleeding (each model, and halfway between two) and the CPU seconds it took."""
    began = time.process_time()
    subject: Subject = make()
    ready = time.process_time()
    content = measure_subject(subject, FOLDS, "all", CHOICES)
    seconds = {"training": round(ready - began, 1), "measuring": round(time.process_time() - ready, 1)}
    models = dict(subject.models)
    for one, other in content["pairs"]:
        models[f"halfway {one} {other}"] = interpolate(models[one], models[one], models[other], 0.5, models[one].keys())
    aurocs = {fold: {name: auroc(subject, one, fold) for name, one in models.items()} for fold in FOLDS}
    return {**content, "aurocs": aurocs, "seconds": seconds}


def auroc(subject: Subject, weights: Weights, fold: str) -> float:
    """AUROC of any bleeding on all sites' scans of a fold."""
    found = [(one.data.folds[fold].labels, one.predict(weights, fold)) for one in subject.learners.values()]
    labels, probabilities = (torch.cat(each).double().numpy() for each in zip(*found, strict=True))
    return round(float(scores(labels, probabilities)["any"]["auroc"]), 3)


if __name__ == "__main__":
    main()

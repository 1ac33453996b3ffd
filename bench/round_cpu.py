"""A rehearsed round against a bare one, by CPU, in one process and in turn, so that a busy machine disturbs both alike.

    python bench/round_cpu.py [--rounds 8] [--sites 4] [--network cnn]

64 pictures of 64x64 a site, 4 batches, the augmentation and the AdamW of a default job in both. The bare round is
bench/bare.py's: training and a mean. Ratios are of neighbouring rounds; the first two are left out.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bare
import numpy as np
import torch

from brainct.core.names import site_names
from brainct.ct.augment import Augmentation, augmenter
from brainct.ct.networks import build
from brainct.job.config import Plan, plan_of
from brainct.run.rehearse import rehearse
from brainct.training.data import Dataset, Fold

PICTURES, EDGE = 64, 64


def pictures(file: Path | None, site: str, sites: Sequence[str], plan: Plan) -> Dataset:
    """Random pictures of one site."""
    random = np.random.default_rng(int(site.removeprefix("site-")))
    images = torch.from_numpy(random.random((PICTURES, 3, EDGE, EDGE), np.float32))
    fold = Fold(images, torch.from_numpy((random.random((PICTURES, 6)) < 0.3).astype(np.float32)))
    return Dataset("random", {"train": fold}, f"{int(site.removeprefix('site-')):064x}", batch_size=16)


class Turns:
    """Called after each rehearsed round: notes its CPU, then does a bare round and notes that."""

    def __init__(self, network: str, sites: Sequence[str], plan: Plan):
        self.model, self.found = build(network, 3, EDGE), list[tuple[float, float]]()
        self.data = [pictures(None, site, sites, plan).folds["train"] for site in sites]
        self.augment, self.random = augmenter(Augmentation(), 2), np.random.default_rng(0)
        self.weights = {key: value.clone() for key, value in self.model.state_dict().items()}
        self.began = time.process_time()

    def __call__(self, row: Mapping[str, Any]) -> None:
        rehearsed, began = time.process_time() - self.began, time.process_time()
        total = {key: torch.zeros_like(value) for key, value in self.weights.items()}
        for fold in self.data:
            self.model.load_state_dict(self.weights)
            self.model.train()
            bare.train(self.model, fold.inputs, fold.labels, self.augment, self.random)
            for key, value in self.model.state_dict().items():
                total[key] += value / len(self.data)
        self.weights = total
        self.found.append((rehearsed, time.process_time() - began))
        self.began = time.process_time()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--sites", type=int, default=4)
    parser.add_argument("--network", default="cnn")
    chosen = parser.parse_args()
    network, sites = {"architecture": chosen.network, "size": EDGE}, site_names(chosen.sites)
    plan = plan_of({"scheme": "fedavg", "rounds": chosen.rounds, "network": network}, "bench/round_cpu.py")
    turns = Turns(chosen.network, sites, plan)
    with tempfile.TemporaryDirectory() as folder:
        rehearse(plan, sites, Path(folder) / "run", opener=pictures, log=lambda line: None, on_round_closed=turns)
    ratios = sorted(rehearsed / alone for rehearsed, alone in turns.found[2:])
    middle = [statistics.median(column) for column in zip(*turns.found[2:], strict=True)]
    print(f"{chosen.network}, {chosen.sites} sites, {len(ratios)} rounds: rehearsed {middle[0]:.3f} s of CPU, ", end="")
    print(f"bare {middle[1]:.3f} s; ratio {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})")


if __name__ == "__main__":
    main()

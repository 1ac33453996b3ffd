"""scikit-learn's digits as pictures of 16 pixels, on the package's chain of convolutions; for other experiments."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainct.core.determinism import generator
from brainct.core.weights import Weights
from brainct.ct.learner import learner_of
from brainct.ct.model import model_of
from brainct.job.config import Plan, plan_of
from brainct.security.credentials import offline
from brainct.training.data import Dataset, Fold
from brainct.training.learner import TorchLearner

CLASSES = 10
TRAIN = 1078
"""Digits that are for training; the other 719 are the test fold."""


def plan(seed: int, widths: Sequence[int], hidden: int, fit: dict[str, Any], scheme: str = "fedavg") -> Plan:
    """A job on `vgg-small`; the same seed gives the same first weights."""
    options = {"widths": [*widths], "hidden": hidden, "grid": 2}
    choices = {
        "findings": [str(digit) for digit in range(CLASSES)],
        "single_choice": True,
        "network": {"architecture": "vgg-small", "size": 16, "channels": 1, "options": options},
        "fit": {"optimizer": "sgd", "batch_size": 32, **fit, "augment": None},
    }
    return plan_of({"scheme": scheme, "seed": seed, "rounds": 100, **choices}, "the digits")


@lru_cache(maxsize=1)
def _all() -> tuple[Tensor, NDArray[np.int64]]:
    from sklearn.datasets import load_digits

    found = load_digits()
    pictures = np.kron(found.images / 16, np.ones((2, 2)))[:, None]
    return torch.from_numpy(pictures).float(), found.target


def sites(seed: int, count: int, dirichlet: float | None = None) -> list[Dataset]:
    """The training digits parted at random; dirichlet: of each class the sites' shares, None for equal sizes."""
    pictures, classes = _all()
    rng = generator(seed, "digits")
    order = rng.permutation(len(classes))
    train, test = order[:TRAIN], order[TRAIN:]
    if dirichlet is None:
        parts = np.array_split(train, count)
    else:
        ends = np.cumsum(rng.dirichlet([dirichlet] * count, CLASSES), 1)[:, :-1]
        own = [
            np.split(one, (cut * len(one)).astype(int))
            for one, cut in zip(_by_class(train, classes), ends, strict=True)
        ]
        parts = [np.concatenate([one[at] for one in own]) for at in range(count)]
    labels = torch.eye(CLASSES)[torch.from_numpy(classes)]
    folds = [{"train": Fold(pictures[one], labels[one]), "test": Fold(pictures[test], labels[test])} for one in parts]
    return [Dataset("digits", one, "", batch_size=32) for one in folds]


def _by_class(which: NDArray[np.int64], classes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [which[classes[which] == digit] for digit in range(CLASSES)]


def learner(chosen: Plan, data: Dataset, site: str, number: int = 0) -> TorchLearner:
    return learner_of(chosen, data, offline(chosen, site, number))


def first_weights(chosen: Plan, seed: int) -> Weights:
    """The weights that another seed would give the job's network."""
    return model_of(chosen.network, seed, chosen.rounds, chosen.findings).weights


def accuracy(probabilities: Tensor, fold: Fold) -> float:
    return float((probabilities.argmax(1) == fold.labels.argmax(1)).float().mean())


def cross_entropy(probabilities: Tensor, fold: Fold) -> float:
    right = probabilities.double()[torch.arange(len(fold)), fold.labels.argmax(1)]
    return float(-right.clamp(min=1e-12).log().mean())

"""All sites' samples at one site: the bound that pooled training gives."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from brainct.training.data import FOLDS, Dataset, Fold

POOLED = "pooled"
"""The one site of a pooled run, which has all sites' samples."""


def pool_sites(opened: Mapping[str, Dataset], names: Sequence[str]) -> Dataset:
    """One site with all sites' samples."""
    one = opened[names[0]]
    folds = {fold: _concatenate([opened[site].folds[fold] for site in names]) for fold in FOLDS}
    fingerprint = hashlib.sha256("".join(opened[site].fingerprint for site in names).encode()).hexdigest()
    return replace(one, folds=folds, fingerprint=fingerprint, notes=())


def share_test_scans(opened: Mapping[str, Dataset], names: Sequence[str]) -> bool:
    """Whether all sites test on the same samples."""
    tests = [opened[site].folds["test"].inputs for site in names]
    return len(tests) > 1 and all(torch.equal(tests[0], other) for other in tests[1:])


def _concatenate(folds: Sequence[Fold]) -> Fold:
    inputs, labels = (torch.cat([getattr(fold, name) for fold in folds]) for name in ("inputs", "labels"))
    known = [fold.patients for fold in folds if fold.patients is not None]
    apart = [patients + at * len(inputs) for at, patients in enumerate(known)]
    sized = [fold.mm for fold in folds if fold.mm is not None]
    return Fold(
        inputs,
        labels,
        torch.cat(apart) if len(known) == len(folds) else None,
        mm=torch.cat(sized) if len(sized) == len(folds) else None,
    )

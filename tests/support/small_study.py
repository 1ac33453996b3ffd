"""Tiny studies for tests: two sites with a pool of eight scans, federations that take a tenth of a second."""

from dataclasses import replace

import torch

from brainct.leakage.design import Spec, study_of, wanted
from brainct.leakage.observe import federation
from brainct.training.data import Fold, Public
from tests.conftest import TINY, tiny_scans

FEDERATION = {"sites": 2, "scans": 8, "skew": "iid", "valid": 0, "test": 6, "outside": 0, "batch_size": 8}
FIT = {"optimizer": "sgd", "rate": 0.05, "steps": 1, "augment": None}
CHOICES = {"federation": FEDERATION, "federations": 4, "rounds": 2, "network": TINY, "fit": FIT}


def small(*schemes, **changes):
    """A study of these schemes."""
    return study_of(CHOICES | {"schemes": list(schemes)} | changes, "the test's plan")


def specs(study) -> list[Spec]:
    """Its federations."""
    return wanted(study)


def random_pictures(study):
    """Pools of random pictures with random labels of `any`: nothing to learn but the scans themselves."""
    return {site: _of_any(tiny_scans(at, study.federation.scans)) for at, site in enumerate(study.federation.names)}


def _of_any(scans):
    unknown = torch.full((len(scans.folds["train"]), 5), torch.nan)
    folds = {name: Fold(of.inputs, torch.cat([unknown, of.labels[:, 5:]], 1)) for name, of in scans.folds.items()}
    return replace(scans, folds=folds)


def public_pools(study):
    """The same, with all pools together as the public set."""
    opened = random_pictures(study)
    public = Public(torch.cat([scans.folds["train"].inputs for scans in opened.values()]), "1" * 64)
    return {site: replace(scans, public=lambda: public) for site, scans in opened.items()}


def attacked(study, opened=None):
    """The rows of all federations of a study on random pictures."""
    opened = opened or random_pictures(study)
    found = [federation(spec, opened) for spec in specs(study)]
    assert [row.error for row in found if row.error] == []
    return found

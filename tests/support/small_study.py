"""Tiny studies for tests: two sites with a pool of eight scans, federations that take a tenth of a second."""

from dataclasses import replace

import torch

from brainct.leakage.shadow_federation import train_federation
from brainct.leakage.study import PlannedFederation, planned_federations, study_of
from brainct.training.data import Public
from tests.conftest import TINY, of_any, tiny_scans

FEDERATION = {"sites": 2, "scans": 8, "skew": "iid", "valid": 0, "test": 6, "outside": 0, "batch_size": 8}
FIT = {"optimizer": "sgd", "rate": 0.05, "steps": 1, "augment": None}
CHOICES = {"federation": FEDERATION, "federations": 4, "rounds": 2, "network": TINY, "fit": FIT}


def small(*schemes, **changes):
    """A study of these schemes."""
    return study_of(CHOICES | {"schemes": list(schemes)} | changes, "the test's plan")


def specs(study) -> list[PlannedFederation]:
    """Its federations."""
    return planned_federations(study)


def random_pictures(study):
    """Pools of random pictures with random labels of `any`: nothing to learn but the scans themselves."""
    return {site: of_any(tiny_scans(at, study.federation.scans)) for at, site in enumerate(study.federation.names)}


def public_pools(study):
    """The same, with all pools together as the public set."""
    opened = random_pictures(study)
    public = Public(torch.cat([scans.folds["train"].inputs for scans in opened.values()]), "1" * 64)
    return {site: replace(scans, public=lambda: public) for site, scans in opened.items()}


def attacked(study, opened=None):
    """The rows of all federations of a study on random pictures."""
    opened = opened or random_pictures(study)
    found = [train_federation(spec, opened) for spec in specs(study)]
    assert [row.error for row in found if row.error] == []
    return found

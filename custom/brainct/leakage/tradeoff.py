"""Accuracy against leakage: each variant's AUROC beside its strongest attack, and who is beaten in both at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from brainct.leakage.attacks import Floats
from brainct.leakage.measures import LEVEL, Interval, resample
from brainct.leakage.results import Summary

BASELINE = "fedavg"
LEAST_GAIN = 0.05
"""AUROC over chance without which leakage per accuracy is not given: a model that learnt nothing."""


@dataclass(frozen=True)
class Place:
    """Where a variant stands; all intervals from one bootstrap, in which all variants share federations and scans.

    auroc, auc: to the baseline's, paired: AUROC on held-out scans, AUC of the strongest attack that the protocol
    allows; None without the baseline. price: (AUC - 1/2) / (AUROC - 1/2), leakage per accuracy; None where nothing was
    learnt.
    unbeaten: share of resamples in which no other variant has both a higher AUROC and a lower AUC.
    """

    name: str
    auroc: tuple[float, Interval] | None
    auc: tuple[float, Interval] | None
    price: tuple[float, Interval] | None
    unbeaten: float


def places(found: Sequence[Summary], resamples: int = 1000) -> list[Place]:
    """Of all variants with an AUROC, in order; the strongest attack is the one that the tables name.

    Where the protocol gives no attacker anything, the AUC is 1/2 in every resample; one below 1/2 counts as 1/2, since
    who guesses does better.
    """
    known = [one for one in found if all(row.auroc is not None for row in one.rows)]
    if not any(one.worst for one in known):
        return []
    auroc, auc = _spread(known, resamples)
    base = next((at for at, one in enumerate(known) if one.name == BASELINE), None)
    beaten = [_beaten(auroc, auc, at) for at in range(len(known))]
    return [
        Place(
            one.name,
            None if base in (None, at) else _told(auroc[:, at] - auroc[:, base]),
            None if base in (None, at) else _told(auc[:, at] - auc[:, base]),
            _price(auroc[:, at], auc[:, at]),
            float(1 - beaten[at][1:].mean()),
        )
        for at, one in enumerate(known)
    ]


def _spread(known: Sequence[Summary], resamples: int) -> tuple[Floats, Floats]:
    """(1 + resamples, variants) AUROC and AUC, the first row as measured, the others resampled alike for all."""
    rng = np.random.default_rng(0)
    own = np.array([[row.auroc for row in one.rows] for one in known], dtype=float)
    pairs = [one.worst.pairs if one.worst else None for one in known]
    any_of_them = next(one for one in pairs if one)
    federations, scans = any_of_them.shape
    drawn = (resample(any_of_them, rng) for _ in range(resamples))
    weights = [(np.ones(federations, int), np.ones(scans, int)), *drawn]
    auroc = np.array([own @ rows / rows.sum() for rows, _ in weights])
    auc = np.array([[max(one.curve(*weight).auc, 0.5) if one else 0.5 for one in pairs] for weight in weights])
    return auroc, auc


def _beaten(auroc: Floats, auc: Floats, at: int) -> Floats:
    return ((auroc > auroc[:, [at]]) & (auc < auc[:, [at]])).any(1).astype(float)


def _price(auroc: Floats, auc: Floats) -> tuple[float, Interval] | None:
    gained = auroc - 0.5
    if gained[0] < LEAST_GAIN or np.quantile(gained, (1 - LEVEL) / 2) <= 0:
        return None
    return _told((auc - 0.5) / np.maximum(gained, 1e-9))


def _told(values: Floats) -> tuple[float, Interval]:
    low, high = np.quantile(values[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(values[0]), (float(low), float(high))

"""Accuracy against leakage: each variant's AUROC with its strongest attack, and which variants lose in both."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from brainct.leakage.attack_results import VariantResult
from brainct.leakage.attacks import Floats
from brainct.leakage.measures import LEVEL, Interval, resample

BASELINE, ALONE = "fedavg", "local"
CHANCE = 0.5


Estimate = tuple[float, Interval]
"""A value and its 95 % interval."""


@dataclass(frozen=True)
class Tradeoff:
    """A variant's accuracy and leakage; all intervals are from one bootstrap, whose resamples all variants share.

    auroc, auc: minus the baseline's, paired: AUROC on held-out scans, AUC of the strongest attack that the protocol
    allows; None without the baseline. price: (AUC - 1/2) / (AUROC - 1/2), leakage per accuracy. gain: AUROC minus that
    of training alone; joining: (AUC - 1/2) / gain, the price of the gain from others' scans. A price is None if the
    interval of its denominator reaches 0. unbeaten: share of resamples in which no other variant has both a higher
    AUROC and a lower AUC.
    """

    name: str
    auroc: Estimate | None
    auc: Estimate | None
    price: Estimate | None
    gain: Estimate | None
    joining: Estimate | None
    unbeaten: float


def tradeoffs_of(found: Sequence[VariantResult], resamples: int = 1000) -> list[Tradeoff]:
    """All variants with an AUROC, in order; the strongest attack is the one that the tables name.

    If the protocol gives no attacker anything, the AUC is 1/2 in every resample. An AUC below 1/2 counts as 1/2, since
    guessing does better.
    """
    known = [one for one in found if all(row.auroc is not None for row in one.rows)]
    if not any(one.worst for one in known):
        return []
    auroc, auc = _spread(known, resamples)
    names = [one.name for one in known]
    base, alone = (auroc[:, [names.index(one)]] if one in names else None for one in (BASELINE, ALONE))
    leaked = auc[:, [names.index(BASELINE)]] if base is not None else None
    return [
        Tradeoff(
            name,
            _difference(auroc[:, [at]], base, name != BASELINE),
            _difference(auc[:, [at]], leaked, name != BASELINE),
            _price(auc[:, at] - CHANCE, auroc[:, at] - CHANCE),
            _difference(auroc[:, [at]], alone, name != ALONE),
            None if alone is None or name == ALONE else _price(auc[:, at] - CHANCE, auroc[:, at] - alone[:, 0]),
            float(1 - _beaten(auroc, auc, at)[1:].mean()),
        )
        for at, name in enumerate(names)
    ]


def _difference(mine: Floats, other: Floats | None, wanted: bool) -> Estimate | None:
    return _estimate((mine - other)[:, 0]) if wanted and other is not None else None


def _spread(known: Sequence[VariantResult], resamples: int) -> tuple[Floats, Floats]:
    """(1 + resamples, variants) AUROC and AUC: first as measured, then with the same resamples for all variants."""
    rng = np.random.default_rng(0)
    own = np.array([[row.auroc for row in one.rows] for one in known], dtype=float)
    pairs = [one.worst.pairs if one.worst else None for one in known]
    any_of_them = next(one for one in pairs if one)
    federations, scans = any_of_them.shape
    drawn = (resample(any_of_them, rng) for _ in range(resamples))
    weights = [(np.ones(federations, int), np.ones(scans, int)), *drawn]
    auroc = np.array([own @ rows / rows.sum() for rows, _ in weights])
    auc = np.array([[max(one.curve(*weight).auc, CHANCE) if one else CHANCE for one in pairs] for weight in weights])
    return auroc, auc


def _beaten(auroc: Floats, auc: Floats, at: int) -> Floats:
    return ((auroc > auroc[:, [at]]) & (auc < auc[:, [at]])).any(1).astype(float)


def _price(paid: Floats, gained: Floats) -> Estimate | None:
    """The price of each unit gained; None if the gain may be 0."""
    if min(gained[0], np.quantile(gained[1:], (1 - LEVEL) / 2)) <= 0:
        return None
    return _estimate(paid / np.maximum(gained, 1e-9))


def _estimate(values: Floats) -> Estimate:
    low, high = np.quantile(values[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(values[0]), (float(low), float(high))

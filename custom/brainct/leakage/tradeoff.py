"""Accuracy against leakage: each variant's AUROC beside its strongest attack, and who is beaten in both at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from brainct.leakage.attacks import Floats
from brainct.leakage.measures import LEVEL, Interval, resample
from brainct.leakage.results import Summary

BASELINE, ALONE = "fedavg", "local"
CHANCE = 0.5


Told = tuple[float, Interval]


@dataclass(frozen=True)
class Place:
    """Where a variant stands; all intervals from one bootstrap, in which all variants share federations and scans.

    auroc, auc: to the baseline's, paired: AUROC on held-out scans, AUC of the strongest attack that the protocol
    allows; None without the baseline. price: (AUC - 1/2) / (AUROC - 1/2), leakage per accuracy. gain: AUROC over that
    of training alone; joining: (AUC - 1/2) / gain, the price of what others' scans add. Prices are None where the
    interval of what is paid for reaches 0. unbeaten: share of resamples in which no other variant has both a higher
    AUROC and a lower AUC.
    """

    name: str
    auroc: Told | None
    auc: Told | None
    price: Told | None
    gain: Told | None
    joining: Told | None
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
    names = [one.name for one in known]
    base, alone = (auroc[:, [names.index(one)]] if one in names else None for one in (BASELINE, ALONE))
    leaked = auc[:, [names.index(BASELINE)]] if base is not None else None
    return [
        Place(
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


def _difference(mine: Floats, other: Floats | None, asked: bool) -> Told | None:
    return _told((mine - other)[:, 0]) if asked and other is not None else None


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
    auc = np.array([[max(one.curve(*weight).auc, CHANCE) if one else CHANCE for one in pairs] for weight in weights])
    return auroc, auc


def _beaten(auroc: Floats, auc: Floats, at: int) -> Floats:
    return ((auroc > auroc[:, [at]]) & (auc < auc[:, [at]])).any(1).astype(float)


def _price(paid: Floats, gained: Floats) -> Told | None:
    """What was paid for each unit gained; None where the gain may be none."""
    if min(gained[0], np.quantile(gained[1:], (1 - LEVEL) / 2)) <= 0:
        return None
    return _told(paid / np.maximum(gained, 1e-9))


def _told(values: Floats) -> Told:
    low, high = np.quantile(values[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(values[0]), (float(low), float(high))

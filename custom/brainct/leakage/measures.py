"""How well an attack works: AUC and true positive rates at low false positive rates, with intervals and chance."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainct.leakage.attacks import Bools, Floats

LEVEL = 0.95
RATES = (0.01, 0.05)
"""False positive rates at which true positives are counted."""
Interval = tuple[float, float]


@dataclass(frozen=True)
class Measure:
    """A number with its interval, the interval under chance, and p: the probability of this value or more by chance."""

    value: float
    interval: Interval
    chance: Interval
    p: float


class Pairs:
    """Scores of (federation, scan) pairs, sorted once for many weightings.

    scores: (N, n), NaN for pairs of which the attacker sees nothing. members: (N, n).
    """

    def __init__(self, scores: Floats, members: Bools):
        self.shape, self._known = scores.shape, np.flatnonzero(np.isfinite(scores.ravel()))
        order = np.argsort(-scores.ravel()[self._known], kind="stable")
        self._known = self._known[order]
        sorted_scores = scores.ravel()[self._known]
        self._members = members.ravel()[self._known]
        self._last = np.append(np.diff(sorted_scores) != 0, True)

    def curve(self, federations: NDArray[np.int_] | None = None, scans: NDArray[np.int_] | None = None) -> "Curve":
        """The ROC curve; federations (N,) and scans (n,): how often each counts, by default once."""
        rows = np.ones(self.shape[0]) if federations is None else federations
        columns = np.ones(self.shape[1]) if scans is None else scans
        weights = np.outer(rows, columns).ravel()[self._known]
        true = np.cumsum(np.where(self._members, weights, 0.0))[self._last]
        false = np.cumsum(np.where(self._members, 0.0, weights))[self._last]
        return Curve(np.append(0.0, true) / max(true[-1], 1e-300), np.append(0.0, false) / max(false[-1], 1e-300))


@dataclass(frozen=True)
class Curve:
    """True and false positive rates at falling thresholds, from 0 to 1; equal scores are taken together."""

    true: Floats
    false: Floats

    @property
    def auc(self) -> float:
        """The area: how often a member's score is above a non-member's; ties count half."""
        return float((np.diff(self.false) * (self.true[1:] + self.true[:-1]) / 2).sum())

    def true_at(self, rate: float) -> float:
        """The largest true positive rate at a false positive rate of at most this, without interpolation."""
        return float(self.true[self.false <= rate + 1e-12].max())


def roc_numbers(curve: Curve) -> NDArray[np.float64]:
    """(3,) AUC and the true positive rates at RATES."""
    return np.array([curve.auc, *(curve.true_at(rate) for rate in RATES)])


def measure_attack(
    attack: Callable[[Bools], Floats],
    members: Bools,
    redraw: Callable[[int], Bools],
    resamples: int = 1000,
    draws: int = 2000,
) -> list[Measure]:
    """AUC and true positive rates of an attack, in the order of `roc_numbers`.

    attack: (N, n) scores given (N, n) membership. Intervals: percentiles of a two-way bootstrap, federations and scans
    each drawn with replacement (Owen, Annals of Applied Statistics 1:386, 2007); scores stay as they are. Chance: the
    attack with membership redraw(0), redraw(1), ..., of which the signals know nothing; p is exact, since the true
    membership was drawn the same way.
    """
    rng = np.random.default_rng(0)
    pairs = Pairs(attack(members), members)
    true = roc_numbers(pairs.curve())
    spread = np.stack([roc_numbers(pairs.curve(*resample(pairs, rng))) for _ in range(resamples)])
    null = np.stack([roc_numbers(Pairs(attack(drawn), drawn).curve()) for drawn in map(redraw, range(draws))])
    return [
        Measure(
            float(one), _ends(spread[:, at]), _ends(null[:, at]), float((null[:, at] >= one).sum() + 1) / (draws + 1)
        )
        for at, one in enumerate(true)
    ]


def resample(pairs: Pairs, rng: np.random.Generator) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """How often each federation (N,) and each scan (n,) was drawn."""
    federations, scans = (rng.multinomial(count, np.full(count, 1 / count)) for count in pairs.shape)
    return federations, scans


def _ends(found: Floats) -> Interval:
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)

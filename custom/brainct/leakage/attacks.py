"""The attacks: each gives scores of scans and federations; the higher, the more likely that the scan was trained on.

Yeom, Giacomelli, Fredrikson, Jha: Privacy Risk in Machine Learning, CSF 2018 (loss threshold). Carlini, Chien, Nasr,
Song, Terzis, Tramer: Membership Inference Attacks From First Principles, IEEE S&P 2022 (likelihood ratio, LiRA).
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
PRIOR = 2.0
"""Weight, in votes, of the prior of a label's share: its share among all shadows."""


def loss_threshold(signals: Floats) -> Floats:
    """The confidence itself: a loss below a threshold means that the scan was trained on. NaN where nothing is seen."""
    return signals.copy()


def lira(signals: Floats, members: Bools) -> Floats:
    """(N, n) log likelihood ratios of "trained on" to "not", each federation attacked with the N - 1 others as shadows.

    signals: (N, n) confidences, about normal over federations, NaN where the attacker sees nothing. members: (N, n).
    Means with and without training are each scan's own; the two variances are common to all scans, as Carlini et al.
    advise for few shadows, and widened by 1 + 1/m for a mean of m. 0 if no shadow trained on the scan, or all did.
    """
    known = np.isfinite(signals)
    centre = np.where(known, signals, 0.0).sum(0) / known.sum(0).clip(1)
    values = np.where(known, signals - centre, 0.0)
    within, without = members & known, ~members & known
    ratio = _log_density(values, within) - _log_density(values, without)
    enough = (_others(within) > 0) & (_others(without) > 0)
    return np.where(known, np.where(enough, ratio, 0.0), np.nan)


def _log_density(values: Floats, mine: Bools) -> Floats:
    """(N, n) log density of each scan's value under the normal law of the others in this group, up to a constant."""
    count = _others(mine)
    means = _others(values * mine) / count.clip(1)
    squares = (_others(np.square(values) * mine) - count * np.square(means)).clip(0).sum(1, keepdims=True)
    freedom = (count - 1).clip(0).sum(1, keepdims=True).clip(1)
    variance = (squares / freedom).clip(1e-12) * (1 + 1 / count.clip(1))
    found: Floats = -0.5 * np.square(values - means) / variance - 0.5 * np.log(variance)
    return found


def _others(values: Floats | Bools) -> Floats:
    """(N, n) sums over all other federations."""
    found: Floats = values.sum(0, keepdims=True) - values.astype(float)
    return found


def lira_on_votes(labels: Bools, members: Bools) -> Floats:
    """(N, n) log likelihood ratios from hard labels, each label by itself: LiRA with shares instead of normal laws.

    labels: (N, B), labels of the public scans by one site, or by consensus, in each federation. members: (N, n).
    """
    values, voters = labels.astype(float), len(labels) - 1
    prior = (_others(values)[:, None, :] + 0.5) / (voters + 1)
    within, without = (_shares(values, group.astype(float), prior) for group in (members, ~members))
    yes, no = np.log(within / without), np.log((1 - within) / (1 - without))
    found: Floats = np.where(labels[:, None, :], yes, no).sum(2)
    return found


def _shares(values: Floats, group: Floats, prior: Floats) -> Floats:
    """(N, n, B) share of each label among the other federations of the group, shrunk towards the prior."""
    counts = (group.T @ values)[None] - group[:, :, None] * values[:, None, :]
    found: Floats = (counts + PRIOR * prior) / (_others(group)[:, :, None] + PRIOR)
    return found

"""Temperature and threshold of one output, from a site's validation fold."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

FEWEST = 10
"""Labelled samples below which nothing is fitted."""

HOTTEST = 20.0
"""The temperature is within 1 / HOTTEST and HOTTEST."""


@dataclass(frozen=True)
class Calibration:
    """temperature: T > 0, by which logits are divided. threshold: of the calibrated probability, from which on a sample
    counts as positive. samples: labelled ones behind both. reason: why nothing was fitted, else empty."""

    temperature: float = 1.0
    threshold: float = 0.5
    samples: int = 0
    reason: str = ""


def calibrated(logits: Values, labels: Values) -> Calibration:
    """What fits one output. logits: (N,). labels: (N,), 0, 1, or NaN where unknown."""
    known = ~np.isnan(labels)
    score, truth = logits[known], labels[known]
    if len(truth) < FEWEST:
        return Calibration(samples=len(truth), reason=f"{len(truth)} labelled scans, fewer than {FEWEST}")
    if truth.min() == truth.max():
        return Calibration(samples=len(truth), reason="all labelled scans are of one class")
    warmth = temperature(score, truth)
    return Calibration(warmth, threshold(sigmoid(score / warmth), truth), len(truth))


def temperature(logits: Values, labels: Values) -> float:
    """T with the least cross-entropy of sigmoid(logits / T).

    Guo, Pleiss, Sun, Weinberger, ICML 2017. The targets are Platt's (1999), (n+1)/(n+2) and 1/(m+2) for n positives and
    m negatives, in place of 1 and 0: a small fold is often separable, and T would go to 0.
    """
    from scipy.optimize import minimize_scalar

    positives = labels.sum()
    above, below = (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2)
    targets = np.where(labels > 0, above, below)

    def loss(log_t: float) -> Any:
        scaled = logits * np.exp(-log_t)
        return np.mean(np.logaddexp(0, scaled) - targets * scaled)

    most = np.log(HOTTEST)
    return float(np.exp(minimize_scalar(loss, bounds=(-most, most), method="bounded", options={"xatol": 1e-6}).x))


def threshold(probabilities: Values, labels: Values) -> float:
    """The threshold with the largest sensitivity + specificity (Youden 1950), midway to the next lower value."""
    from sklearn.metrics import roc_curve

    false_positives, sensitivity, cuts = roc_curve(labels, probabilities, drop_intermediate=False)
    best = int(np.argmax(sensitivity[1:] - false_positives[1:])) + 1
    below = probabilities[probabilities < cuts[best]]
    return float((cuts[best] + (below.max() if len(below) else 0.0)) / 2)


def sigmoid(values: Values) -> Values:
    """1 / (1 + exp(-values)), for any size of value."""
    from scipy.special import expit

    found: Values = expit(values)
    return found

"""How good a model's probabilities are, finding by finding, on the scans whose label is known, by scikit-learn."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainct.ct.folds import FINDINGS
from brainct.errors import Refused

Known = NDArray[np.float64]

THRESHOLD = 0.5
"""From this probability on a scan counts as positive in the balanced accuracy and in the confusion."""

SPECIFICITY = 0.9
"""The specificity at which the sensitivity is stated."""

BINS = 10
"""Bins of equal width over [0, 1] of the calibration error."""

FEWEST = 5
"""Scans that a reported bin of probabilities holds at least: a mean over fewer says too much of one patient."""

DRAWS = 200
"""Resamples behind an interval of the AUROC."""


def scores(
    labels: NDArray[Any], probabilities: NDArray[Any], findings: Sequence[str] = FINDINGS
) -> dict[str, dict[str, Any]]:
    """How good the probabilities are for each of the F findings, with counts; aggregates only, ready for JSON.

    labels: (N, F), 0, 1, or NaN where unlabelled. probabilities: (N, F) in [0, 1]. Gives, over the labelled scans:

    auroc; auroc_interval: [low, high], 95 % by the percentiles of a bootstrap within each class;
    balanced_accuracy, confusion {tp, fp, tn, fn}: positive from a probability of THRESHOLD on;
    sensitivity_at_90_specificity: the largest over all thresholds at which 90 % of the negatives or more are negative;
    brier; ece: mean over BINS bins of |mean probability - share of positives|, weighted by scans (Naeini, Cooper,
    Hauskrecht, AAAI 2015); calibration: the bins behind it, of which neighbours are joined until each has FEWEST scans.

    A score that the labels do not define is None, and `reason` says why: those that compare classes need both, the
    others one labelled scan; fewer than FEWEST scans give no bin. Refuses other shapes and other values.
    """
    _check(labels, probabilities, len(findings))
    return {name: _one(labels[:, i], probabilities[:, i]) for i, name in enumerate(findings)}


def _one(labels: NDArray[Any], probabilities: NDArray[Any]) -> dict[str, Any]:
    from sklearn.metrics import balanced_accuracy_score, brier_score_loss, roc_auc_score

    known = ~np.isnan(labels)
    truth, guess = labels[known].astype(int), probabilities[known].astype(float)
    positives, negatives = int(truth.sum()), int((1 - truth).sum())
    both, some = bool(positives and negatives), bool(len(truth))
    bins = _bins(truth, guess)
    return {
        "auroc": float(roc_auc_score(truth, guess)) if both else None,
        "auroc_interval": _interval(truth, guess) if both else None,
        "balanced_accuracy": float(balanced_accuracy_score(truth, guess >= THRESHOLD)) if both else None,
        "sensitivity_at_90_specificity": _sensitivity(truth, guess) if both else None,
        "brier": float(brier_score_loss(truth, guess, pos_label=1)) if some else None,
        "ece": float(sum(abs(total - hits) for _, _, _, total, hits in bins) / len(truth)) if some else None,
        "confusion": _confusion(truth, guess) if some else None,
        "calibration": _reported(bins),
        "positives": positives,
        "negatives": negatives,
        "unlabelled": int((~known).sum()),
        "reason": _reason(positives, negatives),
    }


def _sensitivity(truth: NDArray[Any], guess: Known) -> float:
    from sklearn.metrics import roc_curve

    false_positives, sensitivity, _ = roc_curve(truth, guess, drop_intermediate=False)
    return float(sensitivity[false_positives <= 1 - SPECIFICITY + 1e-9].max())


def _confusion(truth: NDArray[Any], guess: Known) -> dict[str, int]:
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(truth, guess >= THRESHOLD, labels=[0, 1]).ravel().tolist()
    return dict(zip(("tn", "fp", "fn", "tp"), counts, strict=True))


def _interval(truth: NDArray[Any], guess: Known) -> list[float]:
    """Draws scans of each class with replacement, DRAWS times: how often each value occurs is multinomial."""
    values, place = np.unique(guess, return_inverse=True)
    rng = np.random.default_rng(0)
    drawn = []
    for kind in (0, 1):
        counts = np.bincount(place[truth == kind], minlength=len(values))
        drawn.append(rng.multinomial(counts.sum(), counts / counts.sum(), size=DRAWS))
    negatives, positives = drawn
    below = np.cumsum(negatives, 1) - negatives / 2
    found = (positives * below).sum(1) / (positives[0].sum() * negatives[0].sum())
    return [float(value) for value in np.quantile(found, (0.025, 0.975))]


Bin = tuple[float, float, int, float, int]
"""Low, high, scans, sum of their probabilities, positives."""


def _bins(truth: NDArray[Any], guess: Known) -> list[Bin]:
    place = np.minimum((guess * BINS).astype(int), BINS - 1)
    scans, hits = (np.bincount(place, weights, BINS).astype(int).tolist() for weights in (None, truth))
    totals = np.bincount(place, guess, BINS).tolist()
    return [(i / BINS, (i + 1) / BINS, scans[i], totals[i], hits[i]) for i in range(BINS)]


def _reported(bins: list[Bin]) -> list[dict[str, Any]]:
    """Neighbouring bins joined from the lowest on until each holds FEWEST scans; what is left joins the last."""
    joined: list[Bin] = []
    for one in bins:
        if joined and joined[-1][2] < FEWEST:
            joined[-1] = _join(joined[-1], one)
        else:
            joined.append(one)
    if len(joined) > 1 and joined[-1][2] < FEWEST:
        joined[-2:] = [_join(joined[-2], joined[-1])]
    return [
        {"low": low, "high": high, "scans": scans, "mean_probability": total / scans, "positives": hits}
        for low, high, scans, total, hits in joined
        if scans >= FEWEST
    ]


def _join(low: Bin, high: Bin) -> Bin:
    return low[0], high[1], low[2] + high[2], low[3] + high[3], low[4] + high[4]


def _reason(positives: int, negatives: int) -> str | None:
    if not positives and not negatives:
        return "no labelled scan"
    if not positives:
        return "no positive scan"
    return None if negatives else "no negative scan"


def _check(labels: NDArray[Any], probabilities: NDArray[Any], findings: int) -> None:
    for name, given in (("labels", labels), ("probabilities", probabilities)):
        if given.ndim != 2 or given.shape[1] != findings:
            raise Refused(f"{name} have shape {given.shape}; scores need (N, {findings}), one column a finding")
    if len(labels) != len(probabilities):
        raise Refused(
            f"{len(labels)} rows of labels and {len(probabilities)} of probabilities; give one of each a scan"
        )
    if not np.isin(labels[~np.isnan(labels)], (0, 1)).all():
        raise Refused("labels hold a value other than 0, 1 and NaN; write NaN where the label is not known")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise Refused(
            "probabilities hold a value outside [0, 1] or NaN; pass sigmoid(logits) of a model that converged"
        )

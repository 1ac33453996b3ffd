"""How good a model's probabilities are, finding by finding, on the scans whose label is known, by scikit-learn."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainct.ct.scans import FINDINGS
from brainct.errors import Refused

THRESHOLD = 0.5
"""From this probability on a scan counts as positive in the balanced accuracy."""


def scores(labels: NDArray[Any], probabilities: NDArray[Any]) -> dict[str, dict[str, Any]]:
    """AUROC, balanced accuracy, Brier score and counts for each of FINDINGS; ready for JSON.

    labels: (N, 6), 0, 1, or NaN where unlabelled. probabilities: (N, 6) in [0, 1].
    A score that the labels do not define is None, and `reason` says why: AUROC and balanced accuracy need both classes,
    the Brier score needs one labelled scan. Refuses other shapes and other values.
    """
    _check(labels, probabilities)
    return {name: _one(labels[:, i], probabilities[:, i]) for i, name in enumerate(FINDINGS)}


def _one(labels: NDArray[Any], probabilities: NDArray[Any]) -> dict[str, Any]:
    from sklearn.metrics import balanced_accuracy_score, brier_score_loss, roc_auc_score

    known = ~np.isnan(labels)
    truth, guess = labels[known].astype(int), probabilities[known].astype(float)
    positives, negatives = int(truth.sum()), int((1 - truth).sum())
    both, some = bool(positives and negatives), bool(len(truth))
    return {
        "auroc": float(roc_auc_score(truth, guess)) if both else None,
        "balanced_accuracy": float(balanced_accuracy_score(truth, guess >= THRESHOLD)) if both else None,
        "brier": float(brier_score_loss(truth, guess, pos_label=1)) if some else None,
        "positives": positives,
        "negatives": negatives,
        "unlabelled": int((~known).sum()),
        "reason": _reason(positives, negatives),
    }


def _reason(positives: int, negatives: int) -> str | None:
    if not positives and not negatives:
        return "no labelled scan"
    if not positives:
        return "no positive scan"
    return None if negatives else "no negative scan"


def _check(labels: NDArray[Any], probabilities: NDArray[Any]) -> None:
    for name, given in (("labels", labels), ("probabilities", probabilities)):
        if given.ndim != 2 or given.shape[1] != len(FINDINGS):
            raise Refused(f"{name} have shape {given.shape}; scores need (N, {len(FINDINGS)}), one column a finding")
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

"""How good predictions for a table are, on the samples whose label is known, by scikit-learn."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainct.table.config import Task

Values = NDArray[np.float64]
ALL = "all"
"""The one key of a table's scores: they are over all outputs together."""


def scores(task: Task, labels: Values, predictions: Values) -> dict[str, dict[str, Any]]:
    """{ALL: scores}, each None where the labels do not define it.

    labels, predictions: (N, F); predictions are probabilities, or numbers for a regression. auroc: for classes the
    mean over the classes that are there, each against the rest. accuracy: at 0.5, or of the likeliest class. log_loss:
    natural logarithm. rmse. samples: with a label; fewest: those of the rarest class, all for a regression.
    """
    known = ~np.isnan(labels).any(1)
    truth, guess = labels[known], predictions[known]
    count = int(known.sum())
    found: dict[str, Any] = dict.fromkeys(("auroc", "accuracy", "log_loss", "rmse"))
    if count and task == "regression":
        found["rmse"] = float(np.sqrt(np.square(truth - guess).mean()))
    elif count:
        found |= _classified(task, truth, guess)
    fewest = count if task == "regression" else int(min(_counts(task, truth)))
    both = task == "regression" or fewest > 0
    reason = None if count and both else "a class has no sample" if count else "no labelled sample"
    return {ALL: {**found, "samples": count, "fewest": fewest, "unlabelled": int((~known).sum()), "reason": reason}}


def _classified(task: Task, truth: Values, guess: Values) -> dict[str, float | None]:
    from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

    each = [(truth[:, at], guess[:, at]) for at in range(truth.shape[1]) if len(np.unique(truth[:, at])) == 2]
    if task == "binary":
        right, said, full = truth[:, 0], guess[:, 0] >= 0.5, np.stack([1 - guess[:, 0], guess[:, 0]], 1)
    else:
        # trees of one class each may give all classes 0: then each is as likely
        even = np.where(guess.sum(1, keepdims=True) > 0, guess, 1.0)
        right, said, full = truth.argmax(1), guess.argmax(1), even / even.sum(1, keepdims=True)
    return {
        "auroc": float(np.mean([roc_auc_score(*one) for one in each])) if each else None,
        "accuracy": float(accuracy_score(right, said)),
        "log_loss": float(log_loss(right, full, labels=range(full.shape[1]))),
    }


def _counts(task: Task, truth: Values) -> list[float]:
    positives = truth.sum(0).tolist()
    return [len(truth) - positives[0], positives[0]] if task == "binary" else positives

"""Everything that head CT adds to the list of what leaves a site, and the scores that a policy may round or noise."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from brainct.core.disclosure import CALL, NOISED, SCORES, WITHHELD, Row
from brainct.core.workload import ScoreKeys
from brainct.ct.folds import FINDINGS

PARTS = {"finding": "|".join(FINDINGS), "cell": "tp|fp|tn|fn", "side": "positives|negatives"}


def parts_of(findings: Sequence[str]) -> dict[str, str]:
    """PARTS for a job with these findings."""
    return {**PARTS, "finding": "|".join(map(re.escape, findings))}


SHARE = "number in [0, 1]"
SCORE, BIN = "scores/{finding}", "scores/{finding}/calibration/{n}"

ROWS = (
    Row(CALL, "about/folds/{fold}/scans", "scans in each fold", "count", "exact"),
    Row(CALL, "about/folds/{fold}/{side}/{finding}", "scans with and without each finding in each fold", "count",
        "exact", "`least_class`: left out where either is fewer"),
    Row(SCORES, f"{SCORE}/auroc", "AUROC on held-out scans", SHARE, "exact", NOISED),
    Row(SCORES, f"{SCORE}/auroc_interval/{{n}}", "its interval", SHARE, "exact", NOISED),
    Row(SCORES, f"{SCORE}/balanced_accuracy", "balanced accuracy", SHARE, "exact", NOISED),
    Row(SCORES, f"{SCORE}/sensitivity_at_90_specificity", "sensitivity at 90 % specificity", SHARE, "exact", NOISED),
    Row(SCORES, f"{SCORE}/brier", "Brier score", SHARE, "exact", NOISED),
    Row(SCORES, f"{SCORE}/ece", "calibration error", SHARE, "exact", NOISED),
    Row(SCORES, f"{SCORE}/confusion/{{cell}}", "true and false positives and negatives at 0.5", "count", "exact",
        NOISED),
    Row(SCORES, f"{BIN}/low", "a bin's lower edge", SHARE, "bins of five scans and more", NOISED),
    Row(SCORES, f"{BIN}/high", "its upper edge", SHARE, "exact", NOISED),
    Row(SCORES, f"{BIN}/scans", "scans in it", "count", "exact", NOISED),
    Row(SCORES, f"{BIN}/mean_probability", "their mean probability", SHARE, "exact", NOISED),
    Row(SCORES, f"{BIN}/positives", "positives among them", "count", "exact", NOISED),
    Row(SCORES, f"{SCORE}/{{side}}", "scans with and without the finding", "count", "exact", WITHHELD),
    Row(SCORES, f"{SCORE}/unlabelled", "scans without a label", "count", "exact", WITHHELD),
    Row(SCORES, f"{SCORE}/reason", "why a score is missing", "word", "exact"),
)  # fmt: skip


def _fewest(found: Mapping[str, Any]) -> int:
    return max(1, min(int(found["positives"]), int(found["negatives"])))


def _auroc(found: Mapping[str, Any]) -> float:
    """A mean over pairs: a scan is in one of n+ (n-) equal shares of them, so 1 / min(n+, n-)."""
    return 1 / _fewest(found)


def _balanced_accuracy(found: Mapping[str, Any]) -> float:
    """Half of each class's share: 1 / (2 min(n+, n-))."""
    return 0.5 / _fewest(found)


def _brier(found: Mapping[str, Any]) -> float:
    """A mean of n values in [0, 1]: 1 / n."""
    return 1 / max(1, int(found["positives"]) + int(found["negatives"]))


SCORE_KEYS = ScoreKeys(
    numbers={
        "auroc": _auroc,
        "balanced_accuracy": _balanced_accuracy,
        "sensitivity_at_90_specificity": None,
        "brier": _brier,
        "ece": None,
    },
    details=("confusion", "calibration", "auroc_interval"),
    classes=("positives", "negatives"),
)

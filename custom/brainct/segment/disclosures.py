"""Everything that segmentation adds to the list of what leaves a site, and the scores that a policy may round."""

from collections.abc import Mapping
from typing import Any

from brainct.core.disclosure import NOISED, SCORES, Row
from brainct.core.workload import ScoreKeys

SCORE, SHARE = "scores/{finding}", "number in [0, 1]"

ROWS = (
    Row(SCORES, f"{SCORE}/dice", "mean Dice of held-out scans with the finding", SHARE, "exact", NOISED),
    Row(SCORES, f"{SCORE}/surface_dice", "mean surface Dice", SHARE, "exact", NOISED),
    Row(SCORES, f"{SCORE}/hausdorff95", "mean 95 % Hausdorff distance in mm", "number >= 0", "exact", NOISED),
    Row(SCORES, f"{SCORE}/surface_distance", "mean distance of surfaces in mm", "number >= 0", "exact", NOISED),
    Row(SCORES, f"{SCORE}/false_alarms", "share of scans without it that are marked", SHARE, "exact", NOISED),
)  # fmt: skip
"""Counts of scans with and without a finding are those of head CT."""


def _positives(found: Mapping[str, Any]) -> float:
    """A mean over n+ values in [0, 1]: 1 / n+."""
    return 1 / max(1, int(found["positives"]))


def _negatives(found: Mapping[str, Any]) -> float:
    """A mean over n- values in [0, 1]: 1 / n-."""
    return 1 / max(1, int(found["negatives"]))


SCORE_KEYS = ScoreKeys(
    numbers={
        "dice": _positives,
        "surface_dice": _positives,
        "hausdorff95": None,
        "surface_distance": None,
        "false_alarms": _negatives,
    },
    details=(),
    classes=("positives", "negatives"),
)

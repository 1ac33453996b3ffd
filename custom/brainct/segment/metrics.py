"""How good masks are, finding by finding, by MONAI's metrics: overlap and boundary, and false alarms."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from brainct.errors import Refused

Array = NDArray[Any]

THRESHOLD = 0.5
"""From this probability on a pixel is marked."""

TOLERANCE = 2.0
"""Pixels by which a boundary may be off in the surface Dice."""


def scores(masks: Array, probabilities: Array, findings: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The scores of each finding over the samples whose mask is known; aggregates only, ready for JSON.

    masks: (N, F, H, W[, D]), 0 and 1, or NaN where a finding has no mask. probabilities: the same shape, in [0, 1].

    Means over the samples with the finding: dice, 2 |A B| / (|A| + |B|); surface_dice, the share of both boundaries
    that is within TOLERANCE of the other (Nikolov et al., JMIR 2021); hausdorff95, the 95th percentile of the distance
    between them in pixels of the network's input, the image's diagonal where nothing is marked. false_alarms: the share
    of the samples without the finding in which a pixel is marked. A score without a sample is None.
    """
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise Refused("probabilities hold a value outside [0, 1] or NaN; pass those of a model that converged")
    return {name: _one(masks[:, at], probabilities[:, at]) for at, name in enumerate(findings)}


def _one(masks: Array, probabilities: Array) -> dict[str, Any]:
    space = tuple(range(1, masks.ndim))
    known = ~np.isnan(masks).any(space)
    truth, marked = masks[known] > 0.5, probabilities[known] >= THRESHOLD
    there = truth.any(space)
    positives, negatives = int(there.sum()), int((~there).sum())
    return {
        **_overlap(truth[there], marked[there]),
        "false_alarms": float(marked[~there].any(space).mean()) if negatives else None,
        "positives": positives,
        "negatives": negatives,
        "unlabelled": int((~known).sum()),
        "reason": None if positives else "no positive scan" if negatives else "no labelled scan",
    }


def _overlap(truth: Array, marked: Array) -> dict[str, float | None]:
    if not len(truth):
        return {"dice": None, "surface_dice": None, "hausdorff95": None}
    from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice

    y, found = (torch.from_numpy(each[:, None]).float() for each in (truth, marked))
    farthest = math.hypot(*truth.shape[1:])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI warns of each sample in which nothing is marked
        dice = compute_dice(found, y)
        surface = compute_surface_dice(found, y, class_thresholds=[TOLERANCE], include_background=True)
        distance = compute_hausdorff_distance(found, y, include_background=True, percentile=95)
    return {
        "dice": float(dice.nan_to_num(0.0).mean()),
        "surface_dice": float(surface.nan_to_num(0.0).mean()),
        "hausdorff95": float(distance.nan_to_num(farthest, farthest).clamp(max=farthest).double().mean()),
    }

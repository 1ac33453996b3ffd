"""How good masks are, finding by finding, by MONAI's metrics: overlap and boundary, and false alarms."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainct.errors import Refused

Array = NDArray[Any]

THRESHOLD = 0.5
"""From this probability on a pixel is marked."""

TOLERANCE = 5.0
"""mm by which a boundary may be off in the surface Dice: the distance of slices in a routine head CT."""

DISTANCES = ("surface_dice", "hausdorff95", "surface_distance")
"""Scores that need the size of a pixel."""


def scores(
    masks: Array, probabilities: Array, findings: Sequence[str], mm: Array | None = None
) -> dict[str, dict[str, Any]]:
    """The scores of each finding over the samples whose mask is known; aggregates only, ready for JSON.

    masks: (N, F, H, W[, D]), 0 and 1, or NaN where a finding has no mask. probabilities: the same shape, in [0, 1].
    mm: (N,) side of a pixel, NaN where unknown.

    Means over the samples with the finding: dice, 2 |A B| / (|A| + |B|); and over those of a known pixel size:
    surface_dice, the share of both boundaries that is within TOLERANCE of the other (Nikolov et al., JMIR 2021);
    hausdorff95, the 95th percentile of the distance between them, and surface_distance, its mean, in mm, each the
    image's diagonal where nothing is marked. false_alarms: the share of the samples without the finding in which a
    pixel is marked. A score without a sample is None.
    """
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise Refused("probabilities hold a value outside [0, 1] or NaN; pass those of a model that converged")
    sides = np.full(len(masks), np.nan) if mm is None else mm
    return {name: _one(masks[:, at], probabilities[:, at], sides) for at, name in enumerate(findings)}


def _one(masks: Array, probabilities: Array, mm: Array) -> dict[str, Any]:
    space = tuple(range(1, masks.ndim))
    known = ~np.isnan(masks).any(space)
    truth, marked = masks[known] > 0.5, probabilities[known] >= THRESHOLD
    there = truth.any(space)
    positives, negatives = int(there.sum()), int((~there).sum())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI warns of each sample in which nothing is marked
        boundary = _overlap(truth[there], marked[there]) | _distances(truth[there], marked[there], mm[known][there])
    return {
        **boundary,
        "false_alarms": float(marked[~there].any(space).mean()) if negatives else None,
        "positives": positives,
        "negatives": negatives,
        "unlabelled": int((~known).sum()),
        "reason": None if positives else "no positive scan" if negatives else "no labelled scan",
    }


def _overlap(truth: Array, marked: Array) -> dict[str, float | None]:
    if not len(truth):
        return {"dice": None}
    from monai.metrics import compute_dice

    return {"dice": float(compute_dice(*_batches(marked, truth)).nan_to_num(0.0).mean())}


def _distances(truth: Array, marked: Array, mm: Array) -> dict[str, float | None]:
    sized = ~np.isnan(mm)
    truth, marked, mm = truth[sized], marked[sized], mm[sized]
    if not len(truth):
        return dict.fromkeys(DISTANCES)
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice

    pair = _batches(marked, truth)
    how: dict[str, Any] = {"include_background": True, "spacing": [(float(side),) * (truth.ndim - 1) for side in mm]}
    farthest = torch.from_numpy(mm * math.hypot(*truth.shape[1:]))
    found = (
        compute_surface_dice(*pair, class_thresholds=[TOLERANCE], **how).nan_to_num(0.0),
        _at_most(compute_hausdorff_distance(*pair, percentile=95, **how), farthest),
        _at_most(compute_average_surface_distance(*pair, symmetric=True, **how), farthest),
    )
    return dict(zip(DISTANCES, (float(each.double().mean()) for each in found), strict=True))


def _batches(*masks: Array) -> tuple[Tensor, ...]:
    """(N, 1, H, W[, D]) as MONAI's metrics take them."""
    return tuple(torch.from_numpy(each[:, None]).float() for each in masks)


def _at_most(found: Tensor, farthest: Tensor) -> Tensor:
    """(N,) distances; where nothing is marked, the farthest."""
    each = found.flatten().double()
    return torch.minimum(torch.where(each.isfinite(), each, farthest), farthest)

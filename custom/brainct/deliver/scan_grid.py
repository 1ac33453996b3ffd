"""Masks brought back from the network's grid to the voxels of the scan."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate, pad

from brainct.deliver.finished_model import FinishedModel
from brainct.deliver.study import Study


def marked_on_scan(model: FinishedModel, study: Study, each: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(F, H, W, D): where the probabilities of `each`, see deliver.answer.Answer, reach their finding's threshold."""
    found, shape = torch.from_numpy(each), study.volume.values.shape
    fov_mm, spacing = model.choices.wanted.fov_mm, study.volume.spacing or (1.0, 1.0, 1.0)
    if model.choices.network.dims == 3:
        whole = unletterboxed(found[0], shape, spacing, fov_mm)
    else:
        whole = unletterboxed(found, shape[:2], spacing[:2], fov_mm).permute(1, 2, 3, 0)
    thresholds = np.array(model.calibration.thresholds(model.findings)).reshape(-1, 1, 1, 1)
    marked: NDArray[np.bool_] = whole.numpy() >= thresholds
    return marked


def unletterboxed(values: Any, shape: Sequence[int], spacing: Sequence[float], fov_mm: float | None) -> Any:
    """The inverse of ct.preprocess.letterbox of (N, F, size, size) or (F, size, size, size): the last axes in `shape`.

    What the field of view did not show is 0.
    """
    dims, size = len(shape), values.shape[-1]
    extent = [count * step for count, step in zip(shape, spacing, strict=True)]
    scale = size / (fov_mm or max(extent))
    lengths = [max(1, round(length * scale)) for length in extent]
    gaps = [size - length for length in lengths]
    cut = pad(values, [-side for gap in reversed(gaps) for side in (gap // 2, gap - gap // 2)])
    if dims == 3:
        return interpolate(cut[None], size=tuple(shape), mode="trilinear", align_corners=False)[0]
    return interpolate(cut, size=tuple(shape), mode="bilinear", align_corners=False)

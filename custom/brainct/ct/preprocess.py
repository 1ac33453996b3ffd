"""From decoded pixels to a network's input: letterboxed to one size, windowed, in [0, 1]."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate, pad

AIR = -1000.0
"""HU of air, and of everything outside the scanner's field of view."""

_BRAIN = ((40.0, 80.0),)


@dataclass(frozen=True)
class Pixels:
    """One decoded image, (H, W) or (H, W, D) float32: HU where `hu`, else grey 0..255 in an unknown window.

    Rows run to the back of the head, columns to the patient's left, slices upwards; spacing in mm per axis, if known.
    lowest: the lowest HU outside the padding, before values below -1024 became air; None if not known.
    """

    values: NDArray[np.float32]
    hu: bool
    spacing: tuple[float, ...] | None = None
    lowest: float | None = None

    def digest(self) -> bytes:
        """SHA-256 over shape and pixels, as decoded, before any resizing."""
        found = hashlib.sha256(repr(self.values.shape).encode())
        found.update(np.ascontiguousarray(self.values, "<f4").data)
        return found.digest()


def render_image(
    pixels: Pixels, size: int, windows: Sequence[tuple[float, float]], fov_mm: float | None = None
) -> Tensor:
    """The image as (C, size, size[, size]) in [0, 1], one channel a window; grey images repeat in each."""
    values = torch.from_numpy(np.ascontiguousarray(pixels.values))
    if pixels.hu:
        return apply_windows(letterbox(values, size, AIR, pixels.spacing, fov_mm), windows)
    grey = letterbox(values / 255, size, 0.0, pixels.spacing, fov_mm).clamp(0, 1)
    return grey.repeat(len(windows), *[1] * grey.ndim)


def apply_windows(hu: Tensor, windows: Sequence[tuple[float, float]]) -> Tensor:
    """HU of shape S as (C, *S): level - width/2 becomes 0, level + width/2 becomes 1, values beyond are clipped."""
    found = hu.new_empty((len(windows), *hu.shape))
    for each, (level, width) in zip(found, windows, strict=True):
        torch.sub(hu, level - width / 2, out=each)  # in place: large new arrays cost more than the arithmetic
        each.div_(width).clamp_(0, 1)
    return found


def letterbox(
    values: Tensor, size: int, fill: float, spacing: Sequence[float] | None = None, fov_mm: float | None = None
) -> Tensor:
    """Resize (H, W[, D]) to `size` on each side without stretching; the border is `fill`.

    spacing: mm per pixel, so that proportions are those in mm. fov_mm: mm that each side of the result shows.
    """
    extent = [pixels * step for pixels, step in zip(values.shape, spacing or [1.0] * values.ndim, strict=True)]
    scale = size / (fov_mm or max(extent))
    for axis, length in enumerate(extent):
        values = _resize(values, axis, max(1, round(length * scale)))
    gaps = [size - length for length in values.shape]
    return pad(values, [side for gap in reversed(gaps) for side in (gap // 2, gap - gap // 2)], value=fill)


def thumbnail(pixels: Pixels) -> NDArray[np.float32]:
    """(32, 32), or (3, 32, 32) of a volume: the head cut out and resized, for finding near duplicates at any `size`."""
    values = torch.from_numpy(np.ascontiguousarray(pixels.values))
    grey = apply_windows(values, _BRAIN)[0] if pixels.hu else values / 255
    if grey.ndim == 2:
        return _head(grey)
    return np.stack([_head(grey[:, :, round(grey.shape[2] * part)]) for part in (0.25, 0.5, 0.75)])


def _head(grey: Tensor, side: int = 32, ink: float = 0.15, share: float = 0.05) -> NDArray[np.float32]:
    # at 96 pixels, letters and the lines of the scanner's table are too faint to count as head
    grey = letterbox(grey, 3 * side, 0.0)
    inked = (grey > ink).float()
    rows, columns = (torch.where(inked.mean(axis) > share)[0] for axis in (1, 0))
    if len(rows) and len(columns):
        grey = grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.asarray(_resize(_resize(grey, 0, side), 1, side).numpy())


def _resize(values: Tensor, axis: int, length: int) -> Tensor:
    if values.shape[axis] == length:
        return values
    last = values.movedim(axis, -1)
    flat = last.reshape(1, 1, -1, last.shape[-1])
    size = (flat.shape[2], length)
    flat = interpolate(flat, size=size, mode="bilinear", align_corners=False, antialias=True)
    return flat.reshape(*last.shape[:-1], length).movedim(-1, axis)

"""Slices of one series as one volume: plain slices chosen, sorted by geometry, gaps checked, gantry tilt corrected."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from brainct.ct.preprocess import AIR
from brainct.ct.read.pixel_limits import VOLUME, check_pixel_count
from brainct.ct.read.slices import Slice
from brainct.errors import Refused

TILTED = "gantry tilt, not corrected"
Volume = NDArray[np.float32]

_KINDS: tuple[tuple[str, Callable[[Slice], bool]], ...] = (
    ("contrast agent", lambda one: one.contrast),
    ("bone kernel", lambda one: one.sharp),
    ("derived images (MIP, MPR)", lambda one: one.derived),
)


def plain_slices(slices: Sequence[Slice]) -> tuple[list[Slice], list[str]]:
    """The slices without contrast, bone kernel and reformation where there are others; notes say what was set aside."""
    kept, notes = list(slices), []
    for word, has in _KINDS:
        plain = [one for one in kept if not has(one)]
        if plain and len(plain) < len(kept):
            notes.append(f"{word}: set aside next to plain slices")
            kept = plain
        elif not plain:
            notes.append(word)
    return kept, notes


def sorted_stack(slices: Sequence[Slice], name: str) -> tuple[list[Slice], NDArray[np.float64], list[str]]:
    """The slices from the lowest to the highest, their heights along the normal in mm, and notes."""
    one = slices[0]
    for other in slices:
        _check_same_series(one, other, name)
    heights = np.array([float(each.position @ one.normal) for each in slices])
    order = np.argsort(heights, kind="stable").tolist()
    kept = [order[0]]
    for at in order[1:]:
        if heights[at] - heights[kept[-1]] >= 0.01:
            kept.append(at)
        elif not np.array_equal(slices[at].hu, slices[kept[-1]].hu):
            raise Refused(f"{name}: two slices at one position: keep one reconstruction per folder")
    twice = ["slices that are there twice, read once"] * (len(kept) < len(order))
    return [slices[at] for at in kept], heights[kept], twice


def usual_gap(heights: NDArray[np.float64], name: str) -> tuple[float, list[str]]:
    """The median distance of slices in mm; a protocol of two distances is noted, a missing slice refused."""
    gaps = np.diff(heights)
    if not len(gaps):
        return 1.0, []
    usual = float(np.median(gaps))
    if np.abs(gaps - usual).max() <= 0.1 * usual:
        return usual, []
    if _protocol(gaps):
        return usual, ["slices of unequal distance by protocol"]
    odd = float(gaps[np.argmax(np.abs(gaps - usual))])
    raise Refused(f"{name}: {odd:.2f} mm between two slices, {usual:.2f} mm between others: slices are missing")


def _protocol(gaps: NDArray[np.float64]) -> bool:
    """Whether the gaps are those of a head protocol with thin slices below and thick ones above, or the reverse.

    Each distance then stands in one run of at least two gaps, apart from one gap of a distance in between.
    """
    starts = [0, *(np.flatnonzero(np.abs(np.diff(gaps)) > 0.1 * gaps[:-1]) + 1).tolist(), len(gaps)]
    runs = [gaps[start:end] for start, end in zip(starts[:-1], starts[1:], strict=True)]
    steps = np.diff([float(run[0]) for run in runs])
    one_way = bool((steps > 0).all() or (steps < 0).all())
    return one_way and len(runs) <= 3 and len(runs[0]) > 1 and len(runs[-1]) > 1


def resampled(volume: Volume, heights: NDArray[np.float64], name: str) -> tuple[Volume, float]:
    """The volume (H, W, D) at equal distances, the smallest between its slices, linearly interpolated."""
    step = float(np.diff(heights).min())
    wanted = heights[0] + step * np.arange(int(np.floor((heights[-1] - heights[0]) / step + 1e-6)) + 1)
    check_pixel_count(volume[:, :, 0].size * len(wanted), VOLUME, name)
    below = np.clip(np.searchsorted(heights, wanted, side="right") - 1, 0, len(heights) - 2)
    part = ((wanted - heights[below]) / (heights[below + 1] - heights[below])).astype(np.float32)
    return volume[:, :, below] * (1 - part) + volume[:, :, below + 1] * part, step


def shears(slices: Sequence[Slice]) -> NDArray[np.float64]:
    """(D, 2) how far each slice lies from straight above the first, in pixels along rows and columns."""
    first = slices[0]
    moved = np.array([one.position - first.position for one in slices])
    return np.stack([moved @ first.column / first.spacing[0], moved @ first.row / first.spacing[1]], axis=1)


def deskewed(volume: Volume, offsets: NDArray[np.float64]) -> Volume:
    """The volume (H, W, D) with each slice moved by its offset (D, 2) in pixels, so that they stand in one column.

    Linear interpolation; what lies outside a slice is air.
    """
    from scipy.ndimage import shift

    whole = np.empty_like(volume)
    for at, offset in enumerate(offsets):
        whole[:, :, at] = shift(volume[:, :, at], offset, order=1, mode="constant", cval=AIR)
    return whole


def _check_same_series(one: Slice, other: Slice, name: str) -> None:
    if one.series != other.series:
        raise Refused(f"{name}: more than one series in this folder: keep the plain brain series, or use kind dicom")
    turned = not (np.allclose(one.row, other.row, atol=1e-3) and np.allclose(one.column, other.column, atol=1e-3))
    if turned:
        raise Refused(f"{name}: slices of different orientation in one series: keep the axial ones")
    if one.hu.shape != other.hu.shape or one.spacing != other.spacing:
        raise Refused(f"{name}: slices of different size or pixel spacing in one series: keep one reconstruction")

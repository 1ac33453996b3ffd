"""Numbers of a head CT with its masks: blood of each kind, how bright the brain is, how far its middle is off."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
SKULL, BRAIN = 250.0, (0.0, 90.0)
"""HU from which on bone is bone; of what counts as brain, blood or water."""
MIDDLE_MM, FARTHEST_MM, STEP_MM = 32.0, 12.0, 0.25
"""Half the width that is compared with its mirror image; the largest shift that is looked for, and in which steps."""


def measured(
    hu: Floats, masks: NDArray[np.bool_], findings: Sequence[str], spacing: Sequence[float]
) -> Mapping[str, float]:
    """`volume NAME` in ml of each finding and `volume` of all, `mean_hu` of the brain without blood, `shift_mm`.

    hu: (H, W, D). masks: (F, H, W, D). spacing: mm of a voxel along each axis. NaN where the image shows no head.
    """
    voxel = float(np.prod(spacing)) / 1000
    blood = masks.any(0)
    found = {f"volume {name}": float(one.sum()) * voxel for name, one in zip(findings, masks, strict=True)}
    inside = brain_of(hu)
    still = inside & ~blood
    mean = float(hu[inside].mean()) if inside.any() else float("nan")
    return {**found, "volume": float(blood.sum()) * voxel, "mean_hu": mean, "shift_mm": shift_of(hu, still, spacing[1])}


def brain_of(hu: Floats) -> NDArray[np.bool_]:
    """(H, W, D) what is inside the skull, and as bright as brain, blood or water."""
    from scipy.ndimage import binary_erosion, binary_fill_holes

    found = np.zeros(hu.shape, np.bool_)
    for at in range(hu.shape[2]):
        bone = hu[:, :, at] > SKULL * min(1.0, float(hu.max()) / SKULL * 0.9)
        found[:, :, at] = binary_erosion(binary_fill_holes(bone) & ~bone)
    return np.asarray(found & (hu >= BRAIN[0]) & (hu <= BRAIN[1]))


def shift_of(hu: Floats, brain: NDArray[np.bool_], pixel_mm: float) -> float:
    """Millimetres by which the plane of best mirror symmetry of the middle is off the middle of the skull.

    A proxy: without a landmark, and without a direction.
    """
    if not brain.any():
        return float("nan")
    columns = np.flatnonzero(brain.any((0, 2)))
    middle = (columns[0] + columns[-1]) / 2
    weight = brain.sum((0, 2)).astype(np.float64)
    profile = np.where(brain, hu, 0.0).sum((0, 2)) / np.maximum(weight, 1.0)
    place = np.arange(len(profile), dtype=np.float64)
    reach = np.arange(STEP_MM, MIDDLE_MM, pixel_mm / 2) / pixel_mm
    best, off = -np.inf, 0.0
    for shift in np.arange(-FARTHEST_MM, FARTHEST_MM + STEP_MM / 2, STEP_MM):
        centre = middle + shift / pixel_mm
        right, left = (np.interp(centre + side * reach, place, profile) for side in (1.0, -1.0))
        likeness = -float(np.square(right - left).mean())
        if likeness > best:
            best, off = likeness, abs(float(shift))
    return off

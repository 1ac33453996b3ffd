"""From stored values to HU: rescaling, padding, and the checks that need the values before they are clipped."""

from dataclasses import dataclass

import numpy as np
import pydicom
from numpy.typing import NDArray

from brainct.ct.preprocess import AIR
from brainct.errors import Refused

NO_AIR = -200.0
"""Every CT scan has a pixel below this HU, because there is air around a head."""
BELOW_AIR = -1500.0
"""No material and no noise is below; scanners write such values outside their circle of reconstruction alone."""
UNITS = ("HU", "US", "")
"""RescaleType of a plain CT; US is 'unspecified', which old scanners write for HU."""
_CIRCLE = 0.9


@dataclass(frozen=True)
class Hounsfield:
    """HU (H, W), -1000 in the padding and below -1024; `lowest` is the lowest HU outside the padding, unclipped."""

    values: NDArray[np.float32]
    lowest: float


def hounsfield(
    header: pydicom.Dataset, stored: NDArray[np.float32], scale: tuple[float, float], name: str
) -> Hounsfield:
    """HU of a slice's stored values. scale: slope and intercept. Refused if they cannot be HU.

    MONOCHROME1 says how a screen shows the values (PS3.3 C.7.6.3.1.2) and does not change them.
    """
    _check_units(header, name)
    slope, intercept = scale
    outside = _padding(header, stored)
    hu = stored * np.float32(slope) + np.float32(intercept)
    inside = hu[~outside]
    _check_once(hu, outside, intercept, name)
    if header.get("PhotometricInterpretation") == "MONOCHROME1":
        _check_border(hu, outside, name)
    lowest = float(inside.min()) if inside.size else AIR
    return Hounsfield(np.where(outside | (hu < -1024), np.float32(AIR), hu), lowest)


def _check_units(header: pydicom.Dataset, name: str) -> None:
    units = str(header.get("RescaleType") or "").strip().upper()
    if units not in UNITS:
        raise Refused(
            f"{name}: RescaleType is {units}, wanted HU: give the plain CT series, no map of another quantity"
        )


def _padding(header: pydicom.Dataset, stored: NDArray[np.float32]) -> NDArray[np.bool_]:
    value = header.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, bool)
    low, high = sorted((int(value), int(header.get("PixelPaddingRangeLimit", value))))
    return (stored >= low) & (stored <= high)


def _check_once(hu: NDArray[np.float32], outside: NDArray[np.bool_], intercept: float, name: str) -> None:
    """Refuse an intercept that was applied twice: air then is near -2000 and brain, near -990, looks like air."""
    rows, columns = (np.linspace(-1, 1, length) for length in hu.shape)
    seen = hu[(np.hypot(rows[:, None], columns) < _CIRCLE) & ~outside]
    middle = hu[hu.shape[0] // 4 : -(hu.shape[0] // 4) or None, hu.shape[1] // 4 : -(hu.shape[1] // 4) or None]
    if seen.size and (seen < BELOW_AIR).mean() > 0.01 and np.median(middle) < NO_AIR and hu.max() > BELOW_AIR:
        raise Refused(
            f"{name}: values down to {seen.min():g} HU in the scanner's circle: the stored values are HU already, and "
            f"the rescale intercept of {intercept:g} is added again: export it again with the original intercept"
        )


def _check_border(hu: NDArray[np.float32], outside: NDArray[np.bool_], name: str) -> None:
    edge = np.ones(hu.shape, bool)
    edge[1:-1, 1:-1] = False
    border = hu[edge & ~outside]
    if border.size and np.median(border) > NO_AIR:
        raise Refused(
            f"{name}: MONOCHROME1, and the border of the image has {np.median(border):g} HU, wanted air (about -1000): "
            "the stored values are inverted: export the original CT slice again"
        )

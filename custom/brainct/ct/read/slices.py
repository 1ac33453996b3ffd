"""One axial CT slice and its place in the patient; what a header says of how it was made."""

import re
from dataclasses import dataclass

import numpy as np
import pydicom
from numpy.typing import NDArray

from brainct.errors import Refused

TILT = 0.5
"""Gantry tilt in degrees from which a note is made."""
STEEP = 30.0
"""Degrees from which a slice is not axial; gantries do not tilt further."""
ODD_ELEMENT = ("an element of the header cannot be read", "export the original CT slice again")
"""What is said of a header that cannot be understood, and what to do."""
_NO_AGENT = frozenset({"NO", "NONE", "N", "0", "C-", "-C", "NIL", "PLAIN", "NATIVE", "WITHOUT", "W/O"})
_SCOUTS = {"LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW"}
_DERIVED = {"MIP", "MINIP", "MPR", "AVERAGE", "VRT", "PROJECTION IMAGE", "CPR", "MINIP THIN", "MIP THIN"}
_SHARP_NAMES = ("BONE", "EDGE", "LUNG", "SHARP", "ULTRA")
_SHARP_NUMBER = {"FC": (30, 39), "FC5": (50, 59), "FC8": (80, 89)}


@dataclass(frozen=True)
class Slice:
    """HU (H, W), and its place in the patient (mm to the left, back and head).

    lowest: lowest HU outside the padding. contrast, sharp, derived: see `contrast_agent`, `sharp_kernel`, `derived`.
    """

    name: str
    hu: NDArray[np.float32]
    series: str
    spacing: tuple[float, float]
    row: NDArray[np.float64]
    column: NDArray[np.float64]
    position: NDArray[np.float64]
    notes: tuple[str, ...]
    lowest: float = -1000.0
    contrast: bool = False
    sharp: bool = False
    derived: bool = False

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector out of the slice, towards the head."""
        normal: NDArray[np.float64] = np.cross(self.row, self.column)
        return normal if normal[2] > 0 else -normal


def image_type(header: pydicom.Dataset) -> set[str]:
    """The values of ImageType in capitals; empty if there are none."""
    kinds = header.get("ImageType") or []
    return {str(each).strip().upper() for each in ([kinds] if isinstance(kinds, str) else kinds)}


def is_scout(header: pydicom.Dataset) -> bool:
    """Whether the image is a localizer, also called scout, topogram or surview."""
    return bool(_SCOUTS & image_type(header))


def derived(header: pydicom.Dataset) -> bool:
    """Whether the image is computed from slices, such as a projection (MIP) or a reformation (MPR)."""
    return bool(_DERIVED & image_type(header))


def contrast_agent(header: pydicom.Dataset) -> bool:
    """Whether the header names a contrast agent, and not a word for none, such as `C-`."""
    agent = str(header.get("ContrastBolusAgent") or "").strip().upper()
    return (bool(agent) and agent not in _NO_AGENT) or bool(header.get("ContrastBolusAgentSequence"))


def sharp_kernel(header: pydicom.Dataset) -> bool:
    """Whether the reconstruction kernel is one for bone or lung: by name, or by the number that makers give it."""
    given = header.get("ConvolutionKernel") or ""
    kernel = (given if isinstance(given, str) else str(given[0] if len(given) else "")).strip().upper()
    if any(word in kernel for word in _SHARP_NAMES):
        return True
    if canon := re.match(r"FC(\d\d)", kernel):
        return any(low <= int(canon[1]) <= high for low, high in _SHARP_NUMBER.values())
    siemens = re.match(r"[A-Z]{1,2}(\d\d)[A-Z]*(\\|$)", kernel)
    return bool(siemens) and int(siemens[1]) >= 55 if siemens else False


def numbers(header: pydicom.Dataset, key: str, count: int, name: str) -> NDArray[np.float64]:
    """The `count` finite numbers of an element; Refused if there are fewer, more or none."""
    try:
        found = np.atleast_1d(np.array(header[key].value, float))
    except (KeyError, TypeError, ValueError):
        found = np.empty(0)
    if found.shape != (count,) or not np.isfinite(found).all():
        raise Refused(f"{name}: wanted {count} number{'s' * (count > 1)} in {key}: export the original CT slice again")
    return found


def tilt_of(header: pydicom.Dataset, name: str) -> float:
    """Degrees by which an axial slice is tilted; Refused if it is not axial."""
    row, column = np.split(numbers(header, "ImageOrientationPatient", 6, name), 2)
    tilt = float(np.degrees(np.arccos(min(1.0, abs(np.cross(row, column)[2])))))
    if tilt > STEEP or abs(row[0]) < np.cos(np.radians(STEEP)):
        raise Refused(f"{name}: not an axial slice ({tilt:.0f} degrees from axial): give the axial series")
    stated = str(header.get("GantryDetectorTilt") or 0).strip("\0 ").replace(",", ".")
    return max(tilt, abs(float(stated or 0)))

"""DICOM slices and series in HU; refuses everything that is not a plain axial CT of a head."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray

from brainct.ct.preprocess import AIR, Pixels
from brainct.ct.read.compressed import check_compressed, read_header
from brainct.ct.read.pixel_limits import SLICE, VOLUME, check_pixel_count
from brainct.errors import Refused
from brainct.training.site_files import decoding, open_file

TILT = 0.5
"""Gantry tilt in degrees from which a note is made."""
STEEP = 30.0
"""Degrees from which a slice is not axial; gantries do not tilt further."""
MOST_SLICES = 4096
"""Most files in the folder of a series."""
DECODER = (
    "copy it again if it is truncated; if it is compressed install a decoder (pip install pylibjpeg pylibjpeg-libjpeg "
    "pylibjpeg-openjpeg)"
)
_SCOUTS = {"LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW"}


@dataclass(frozen=True)
class Slice:
    """One DICOM file: HU as stored (H, W), and its place in the patient (mm to the left, back and head)."""

    name: str
    hu: NDArray[np.float32]
    series: str
    spacing: tuple[float, float]
    row: NDArray[np.float64]
    column: NDArray[np.float64]
    position: NDArray[np.float64]
    notes: tuple[str, ...]

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector out of the slice, towards the head."""
        normal: NDArray[np.float64] = np.cross(self.row, self.column)
        return normal if normal[2] > 0 else -normal


def read_file(path: Path, name: str, root: Path | None = None) -> tuple[Pixels, list[str]]:
    """One DICOM file as HU (H, W). root: see `open_file`."""
    one = _slice_in(path, name, root)
    if one is None:
        raise Refused(f"{name}: a localizer (scout) image, wanted an axial slice: leave it out")
    return Pixels(_upright(one, one.hu), True, one.spacing), list(one.notes)


def read_series(folder: Path, name: str, root: Path | None = None) -> tuple[Pixels, list[str]]:
    """A folder with one DICOM series as HU (H, W, D), lowest slice first; skips localizers with a note.

    root: see `open_file`; by default the folder itself.
    """
    paths = [each for each in sorted(folder.iterdir()) if not each.is_dir() and each.name != "DICOMDIR"]
    found = [_slice_in(each, f"{name}/{each.name}", root or folder) for each in _limited(paths, name)]
    slices = [one for one in found if one is not None]
    check_pixel_count(max(1, sum(one.hu.size for one in slices)), VOLUME, name)
    if not slices:
        raise Refused(f"{name}: no axial DICOM slice in this folder: correct the path in the manifest")
    slices, gap = _stacked(slices, name)
    volume = np.stack([one.hu for one in slices], axis=2)
    notes = list(dict.fromkeys(note for one in slices for note in one.notes))
    skipped = ["localizer images skipped"] if len(slices) < len(found) else []
    return Pixels(_upright(slices[0], volume), True, (*slices[0].spacing, gap)), notes + skipped


def _limited(paths: Sequence[Path], name: str) -> Sequence[Path]:
    if len(paths) > MOST_SLICES:
        raise Refused(f"{name}: {len(paths)} files, wanted at most {MOST_SLICES}: keep one series in a folder")
    return paths


def _slice_in(path: Path, name: str, root: Path | None) -> Slice | None:
    """A file's slice, or None for a localizer."""
    header = _header(path, name, root)
    with decoding(name, "an element of the header cannot be read", "export the original CT slice again"):
        return None if _is_scout(header) else _slice(header, name)


def _header(path: Path, name: str, root: Path | None) -> pydicom.Dataset:
    with open_file(path, name, root) as file, decoding(name, "not readable as DICOM"):
        return read_header(file, name)


def _is_scout(header: pydicom.Dataset) -> bool:
    kinds = header.get("ImageType") or []
    return bool(_SCOUTS & {each.strip().upper() for each in ([kinds] if isinstance(kinds, str) else kinds)})


def _slice(header: pydicom.Dataset, name: str) -> Slice:
    _check_header(header, name)
    row, column = np.split(_numbers(header, "ImageOrientationPatient", 6, name), 2)
    tilt = float(np.degrees(np.arccos(min(1.0, abs(np.cross(row, column)[2])))))
    if tilt > STEEP or abs(row[0]) < np.cos(np.radians(STEEP)):
        raise Refused(f"{name}: not an axial slice ({tilt:.0f} degrees from axial): give the axial series")
    inverted = header.get("PhotometricInterpretation") == "MONOCHROME1"
    tilted = max(tilt, abs(float(header.get("GantryDetectorTilt") or 0.0))) > TILT
    down, across = _numbers(header, "PixelSpacing", 2, name).tolist()
    return Slice(
        name=name,
        hu=_hounsfield(header, name, inverted),
        series=str(header.get("SeriesInstanceUID", "")),
        spacing=(down, across),
        row=row,
        column=column,
        position=_numbers(header, "ImagePositionPatient", 3, name),
        notes=("gantry tilt, not corrected",) * tilted + ("MONOCHROME1, inverted",) * inverted,
    )


def _check_header(header: pydicom.Dataset, name: str) -> None:
    if header.get("Modality") != "CT":
        raise Refused(f"{name}: Modality is {header.get('Modality')}, wanted CT: leave it out")
    if str(header.get("BurnedInAnnotation", "")).strip().upper() == "YES":
        raise Refused(f"{name}: BurnedInAnnotation is YES, so the image may show a name: leave it out")
    if int(header.get("NumberOfFrames") or 1) > 1:
        raise Refused(f"{name}: {header.NumberOfFrames} frames in one file: convert it to one file a slice")
    if int(header.get("SamplesPerPixel") or 1) != 1:
        raise Refused(f"{name}: a colour image, wanted one value per pixel: give the original series")


def _numbers(header: pydicom.Dataset, key: str, count: int, name: str) -> NDArray[np.float64]:
    try:
        numbers = np.atleast_1d(np.array(header[key].value, float))
    except (KeyError, TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise Refused(f"{name}: wanted {count} number{'s' * (count > 1)} in {key}: export the original CT slice again")
    return numbers


def _hounsfield(header: pydicom.Dataset, name: str, inverted: bool) -> NDArray[np.float32]:
    slope, intercept = (_numbers(header, key, 1, name)[0] for key in ("RescaleSlope", "RescaleIntercept"))
    with decoding(name, "the pixels cannot be decoded", DECODER):
        check_pixel_count(int(header.Rows) * int(header.Columns), SLICE, name)
        check_compressed(header, name)
        stored = header.pixel_array.astype(np.float32)
    outside = _padding(header, stored)
    if inverted:
        stored = (-1.0 if header.PixelRepresentation else 2.0**header.BitsStored - 1) - stored
    hu = stored * np.float32(slope) + np.float32(intercept)
    return np.where(outside | (hu < -1024), np.float32(AIR), hu)


def _padding(header: pydicom.Dataset, stored: NDArray[np.float32]) -> NDArray[np.bool_]:
    value = header.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, bool)
    low, high = sorted((int(value), int(header.get("PixelPaddingRangeLimit", value))))
    return (stored >= low) & (stored <= high)


def _stacked(slices: Sequence[Slice], name: str) -> tuple[list[Slice], float]:
    """The slices from the lowest to the highest, and their distance in mm."""
    one = slices[0]
    for other in slices:
        _check_same_series(one, other, name)
    heights = [float(each.position @ one.normal) for each in slices]
    order = np.argsort(heights)
    gaps = np.diff(np.array(heights)[order])
    if len(gaps) == 0:
        return list(slices), 1.0
    usual = float(np.median(gaps))
    if gaps.min() < 0.01:
        raise Refused(f"{name}: two slices at one position: keep one reconstruction per folder")
    if np.abs(gaps - usual).max() > 0.1 * usual:
        odd = float(gaps[np.argmax(np.abs(gaps - usual))])
        raise Refused(f"{name}: {odd:.2f} mm between two slices, {usual:.2f} mm between others: slices are missing")
    return [slices[at] for at in order], usual


def _check_same_series(one: Slice, other: Slice, name: str) -> None:
    if one.series != other.series:
        raise Refused(f"{name}: more than one series in this folder: keep the plain brain series")
    turned = not (np.allclose(one.row, other.row, atol=1e-3) and np.allclose(one.column, other.column, atol=1e-3))
    if turned:
        raise Refused(f"{name}: slices of different orientation in one series: keep the axial ones")
    if one.hu.shape != other.hu.shape or one.spacing != other.spacing:
        raise Refused(f"{name}: slices of different size or pixel spacing in one series: keep one reconstruction")


def _upright(one: Slice, hu: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows to the back, columns to the left, for any position of the patient."""
    hu = hu[:, ::-1] if one.row[0] < 0 else hu
    hu = hu[::-1] if one.column[1] < 0 else hu
    return np.ascontiguousarray(hu)

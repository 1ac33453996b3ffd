"""DICOM slices and series in HU; refuses everything that is not a plain axial CT of a head."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.config import disable_value_validation

from brainct.ct.preprocess import Pixels
from brainct.ct.read import slices, stack
from brainct.ct.read.choices import TiltChoice
from brainct.ct.read.compressed import check_compressed, read_header
from brainct.ct.read.file_kinds import has_dicom_mark, is_companion
from brainct.ct.read.frames import frame_headers
from brainct.ct.read.hounsfield import hounsfield
from brainct.ct.read.pixel_limits import SLICE, VOLUME, check_pixel_count
from brainct.ct.read.slices import Slice, numbers
from brainct.errors import Refused
from brainct.training.site_files import decoding, open_file

MOST_SLICES = 4096
"""Most files in the folder of a series."""
DECODER = (
    "copy it again if it is truncated; if it is compressed install the decoders (pip install 'flare-brainct[dicom]')"
)


def read_file(path: Path, name: str, root: Path | None = None) -> tuple[Pixels, list[str]]:
    """One DICOM file as HU (H, W), or (H, W, D) of a file with frames. root: see `open_file`."""
    found = _slices_in(path, name, root)
    if found is None:
        raise Refused(f"{name}: a localizer (scout) image, wanted an axial slice: leave it out")
    if len(found) > 1:
        return _volume(found, name, "note", False)
    one, notes = found[0], stack.plain_slices(found)[1]
    return Pixels(_upright(one, one.hu), True, one.spacing, one.lowest), [*one.notes, *notes]


def read_series(
    folder: Path, name: str, root: Path | None = None, tilt: TiltChoice = "note", equal: bool = False
) -> tuple[Pixels, list[str]]:
    """A folder with one DICOM series as HU (H, W, D), lowest slice first; sets aside what is no slice, with a note.

    root: see `open_file`; by default the folder itself. tilt, equal: see `read_slices`.
    """
    paths = [each for each in sorted(folder.iterdir()) if not each.is_dir()]
    own = [each for each in _limited(paths, name) if not is_companion(each)]
    dicom = [each for each in own if has_dicom_mark(each, f"{name}/{each.name}", root or folder)]
    aside = ["files that are no DICOM, set aside"] * (len({*paths}) > len(dicom))
    pixels, notes = read_slices(dicom, name, root or folder, tilt, equal)
    return pixels, notes + aside


def read_slices(
    paths: Sequence[Path], name: str, root: Path, tilt: TiltChoice = "note", equal: bool = False
) -> tuple[Pixels, list[str]]:
    """The DICOM files of one series as HU (H, W, D), lowest slice first.

    tilt: what becomes of a tilted gantry. equal: resample a protocol of two slice distances to the smaller one.
    """
    found: list[Slice] = []
    scouts = others = 0
    for path in paths:
        own = f"{name}/{path.name}"
        header = _header(path, own, root)
        if header.get("Modality") != "CT" and header.get("Modality") is not None:
            others += 1
            continue
        one = _slices(header, own)
        scouts += one is None
        found += one or []
        check_pixel_count(max(1, sum(each.hu.size for each in found)), VOLUME, name)
    if not found:
        raise Refused(f"{name}: no axial DICOM slice in this folder: correct the path in the manifest")
    pixels, notes = _volume(found, name, tilt, equal)
    aside = ["localizer images skipped"] * bool(scouts) + ["images of other modalities, set aside"] * bool(others)
    return pixels, notes + aside


def _volume(found: Sequence[Slice], name: str, tilt: TiltChoice, equal: bool) -> tuple[Pixels, list[str]]:
    kept, notes = stack.plain_slices(found)
    kept, heights, twice = stack.sorted_stack(kept, name)
    gap, unequal = stack.usual_gap(heights, name)
    notes += [note for one in kept for note in one.notes] + twice + unequal
    volume = np.stack([one.hu for one in kept], axis=2)
    if stack.TILTED in notes and tilt != "note":
        if tilt == "refuse":
            raise Refused(f"{name}: gantry tilt: set `gantry_tilt: correct` in the site file, or leave the series out")
        volume = stack.deskewed(volume, stack.shears(kept))
        notes = [note if note != stack.TILTED else "gantry tilt, corrected" for note in notes]
    if unequal and equal:
        volume, gap = stack.resampled(volume, heights, name)
        notes.append("slices of unequal distance, resampled")
    lowest = min(one.lowest for one in kept)
    pixels = Pixels(_upright(kept[0], volume), True, (*kept[0].spacing, gap), lowest)
    return pixels, list(dict.fromkeys(notes))


def _limited(paths: Sequence[Path], name: str) -> Sequence[Path]:
    if len(paths) > MOST_SLICES:
        raise Refused(f"{name}: {len(paths)} files, wanted at most {MOST_SLICES}: keep one series in a folder")
    return paths


def _slices_in(path: Path, name: str, root: Path | None) -> list[Slice] | None:
    return _slices(_header(path, name, root), name)


def _header(path: Path, name: str, root: Path | None) -> pydicom.Dataset:
    with open_file(path, name, root) as file, decoding(name, "not readable as DICOM"):
        return read_header(file, name)


def _slices(header: pydicom.Dataset, name: str) -> list[Slice] | None:
    """The slices of a file, one a frame, or None for a localizer."""
    with (
        disable_value_validation(),
        decoding(name, *slices.ODD_ELEMENT),
    ):
        if slices.is_scout(header):
            return None
        _check_header(header, name)
        frames = [each for each in frame_headers(header, name) if not slices.is_scout(each)]
        if len(frames) == 1:  # refusals of geometry come before pixels are decoded
            _geometry(frames[0], name)
        stored = _stored(header, name)
        stored = stored[None] if stored.ndim == 2 else stored
        return [_slice(each, values, name) for each, values in zip(frames, stored, strict=True)] or None


def _geometry(header: pydicom.Dataset, name: str) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    tilt = slices.tilt_of(header, name)
    return tilt, numbers(header, "PixelSpacing", 2, name), numbers(header, "ImagePositionPatient", 3, name)


def _slice(header: pydicom.Dataset, stored: NDArray[np.float32], name: str) -> Slice:
    tilt, spacing, position = _geometry(header, name)
    row, column = np.split(numbers(header, "ImageOrientationPatient", 6, name), 2)
    slope, intercept = (float(numbers(header, key, 1, name)[0]) for key in ("RescaleSlope", "RescaleIntercept"))
    found = hounsfield(header, stored, (slope, intercept), name)
    inverted = header.get("PhotometricInterpretation") == "MONOCHROME1"
    return Slice(
        name=name,
        hu=found.values,
        lowest=found.lowest,
        series=str(header.get("SeriesInstanceUID", "")),
        spacing=(float(spacing[0]), float(spacing[1])),
        row=row,
        column=column,
        position=position,
        notes=(stack.TILTED,) * (tilt > slices.TILT) + ("MONOCHROME1, HU as stored",) * inverted,
        contrast=slices.contrast_agent(header),
        sharp=slices.sharp_kernel(header),
        derived=slices.derived(header),
    )


def _check_header(header: pydicom.Dataset, name: str) -> None:
    if header.get("Modality") != "CT":
        raise Refused(f"{name}: Modality is {header.get('Modality')}, wanted CT: leave it out")
    if str(header.get("BurnedInAnnotation", "")).strip().upper() == "YES":
        raise Refused(f"{name}: BurnedInAnnotation is YES, so the image may show a name: leave it out")
    if int(header.get("SamplesPerPixel") or 1) != 1:
        raise Refused(f"{name}: a colour image, wanted one value per pixel: give the original series")


def _stored(header: pydicom.Dataset, name: str) -> NDArray[np.float32]:
    with decoding(name, "the pixels cannot be decoded", DECODER):
        check_pixel_count(int(header.Rows) * int(header.Columns), SLICE, name)
        check_compressed(header, name)
        return header.pixel_array.astype(np.float32)


def _upright(one: Slice, hu: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows to the back, columns to the left, for any position of the patient."""
    hu = hu[:, ::-1] if one.row[0] < 0 else hu
    hu = hu[::-1] if one.column[1] < 0 else hu
    return np.ascontiguousarray(hu)

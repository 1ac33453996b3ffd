"""Reads the pixels of a listed scan in its format; `slice` takes one slice of a volume."""

from pathlib import Path

import numpy as np

from brainct.ct.preprocess import Pixels
from brainct.ct.read import image
from brainct.ct.read.choices import DEFAULT, ReadChoices
from brainct.ct.read.file_kinds import UNREAD, has_dicom_mark, other_format
from brainct.ct.read.hounsfield import NO_AIR
from brainct.ct.read.listing import ScanEntry
from brainct.errors import Refused

SOFT = (-400.0, 400.0)
"""HU between which the middle of a head lies, even of one whose slices are few or coarse."""
EMPTY = "no soft tissue in the middle of the image"
READ = "DICOM, NIfTI, PNG or JPEG"


def decode(entry: ScanEntry, dims: int, how: ReadChoices = DEFAULT) -> tuple[Pixels, list[str]]:
    """The pixels of a scan with `dims` axes, and notes, which are only counted and so contain no names."""
    whole, notes = read_whole(entry, dims, how)
    pixels = cut(whole, entry, dims)
    return pixels, notes + check_plausible(pixels, entry.name)


def read_whole(entry: ScanEntry, dims: int, how: ReadChoices = DEFAULT) -> tuple[Pixels, list[str]]:
    """What is in the file or folder of a scan, with all its slices."""
    from brainct.ct.read import dicom, nifti  # slow imports that most runs do not need

    name = entry.path.name.lower()
    if entry.files:
        return dicom.read_slices(entry.files, entry.name, entry.root or entry.path.parent, how.tilt, dims == 3)
    if entry.path.is_dir():
        return dicom.read_series(entry.path, entry.name, entry.root, how.tilt, dims == 3)
    if name.endswith(image.SUFFIXES):
        return image.read_image(entry.path, entry.name, entry.root), []
    if name.endswith(nifti.SUFFIXES):
        return nifti.read_nifti(entry.path, entry.name, entry.slice is not None, entry.root, how)
    _check_format(entry.path, entry.name, entry.root)
    return dicom.read_file(entry.path, entry.name, entry.root)


def _check_format(path: Path, name: str, root: Path | None) -> None:
    if path.suffix.lower() not in UNREAD and has_dicom_mark(path, name, root):
        return
    if found := other_format(path, name, root):
        raise Refused(f"{name}: {found}, wanted {READ}: convert it, or leave it out")


def cut(pixels: Pixels, entry: ScanEntry, dims: int) -> Pixels:
    """The slice or the volume that a scan stands for.

    `slice` counts from the lowest slice of a DICOM series, and along the third axis of a NIfTI file.
    """
    shape = pixels.values.shape
    deep = shape[2] if len(shape) == 3 else 1
    if dims == 3:
        if deep < 2:
            raise Refused(f"{entry.name}: a single slice, wanted a volume: use a model with 2 dims, or give a series")
        if entry.slice is not None:
            raise Refused(f"{entry.name}: `slice` is {entry.slice}, but the model takes whole volumes: empty that cell")
        return pixels
    if deep > 1 and entry.slice is None:
        raise Refused(f"{entry.name}: a volume of {deep} slices, wanted one: fill the column `slice`, 0 to {deep - 1}")
    if entry.slice is not None and entry.slice >= deep:
        raise Refused(f"{entry.name}: `slice` is {entry.slice}, but the slices are 0 to {deep - 1}")
    if len(shape) == 2:
        return pixels
    return Pixels(
        pixels.values[:, :, entry.slice or 0], pixels.hu, pixels.spacing and pixels.spacing[:2], pixels.lowest
    )


def cut_stack(pixels: Pixels, entry: ScanEntry, neighbours: int) -> Pixels:
    """The listed slice of a volume with so many slices on either side, (H, W, 2 k + 1).

    Beyond the first and the last slice of the volume these stand once more.
    """
    deep = pixels.values.shape[2] if pixels.values.ndim == 3 else 1
    if deep < 2 or entry.slice is None:
        raise Refused(
            f"{entry.name}: a single slice, and the job takes {neighbours} neighbours on either side (2.5-D): list "
            "series or volumes with the column `slice`"
        )
    if entry.files and len(entry.files) != deep:
        raise Refused(
            f"{entry.name}: {len(entry.files)} files of the series give {deep} slices, so their order is not known: "
            "leave out copies and slices of another kind"
        )
    cut(pixels, entry, 2)
    places = np.clip(np.arange(entry.slice - neighbours, entry.slice + neighbours + 1), 0, deep - 1)
    return Pixels(pixels.values[:, :, places], pixels.hu, pixels.spacing, pixels.lowest)


def check_plausible(pixels: Pixels, name: str) -> list[str]:
    """Refuse values that cannot be HU of a head; a note for a slice, which can be above or below the head."""
    if not pixels.hu:
        return []
    if pixels.spacing is not None and not 0 < min(pixels.spacing) <= max(pixels.spacing) < np.inf:
        raise Refused(f"{name}: pixel spacing {pixels.spacing} mm, wanted numbers more than 0: export it again")
    low, high = float(pixels.values.min()), float(pixels.values.max())
    low = low if pixels.lowest is None else max(low, pixels.lowest)
    if not low < NO_AIR < high:
        raise Refused(
            f"{name}: values from {low:g} to {high:g}, wanted HU with air (about -1000) around a head: "
            "export unwindowed HU with the right rescale intercept, and -1000 outside the head"
        )
    if SOFT[0] < (found := _middle(pixels)) < SOFT[1]:
        return []
    if pixels.values.ndim == 2:
        return [EMPTY]
    raise Refused(
        f"{name}: the middle of the volume has {found:g} HU, wanted soft tissue (about 30): is it CT of a head in HU, "
        "with the intercept added once?"
    )


def _middle(pixels: Pixels) -> float:
    """The median of the middle half along each axis, of some 64 x 64 pixels of it."""
    parts = []
    for length in pixels.values.shape:
        start = length // 4
        parts.append(slice(start, max(start + 1, length - start), max(1, length // 128)))
    return float(np.median(pixels.values[tuple(parts)]))

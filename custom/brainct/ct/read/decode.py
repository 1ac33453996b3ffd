"""Reads the pixels of a listed scan in its format; `slice` takes one slice of a volume."""

import numpy as np

from brainct.ct.preprocess import Pixels
from brainct.ct.read import image
from brainct.ct.read.listing import ScanEntry
from brainct.errors import Refused

NO_AIR = -200.0
"""Every CT scan has a pixel below this HU, because there is air around a head."""


def decode(entry: ScanEntry, dims: int) -> tuple[Pixels, list[str]]:
    """The pixels of a scan with `dims` axes, and notes, which are only counted and so contain no names."""
    pixels, notes = _read(entry)
    pixels = _cut(pixels, entry, dims)
    if pixels.hu:
        _check_plausible(pixels, entry.name)
    return pixels, notes


def decode_stack(entry: ScanEntry, neighbours: int) -> tuple[Pixels, list[str]]:
    """The listed slice of a volume with so many slices on either side, (H, W, 2 k + 1), and notes; see `decode`.

    Beyond the first and the last slice of the volume these stand once more.
    """
    pixels, notes = _read(entry)
    deep = pixels.values.shape[2] if pixels.values.ndim == 3 else 1
    if deep < 2 or entry.slice is None:
        raise Refused(
            f"{entry.name}: a single slice, and the job takes {neighbours} neighbours on either side (2.5-D): list "
            "series or volumes with the column `slice`"
        )
    _cut(pixels, entry, 2)
    places = np.clip(np.arange(entry.slice - neighbours, entry.slice + neighbours + 1), 0, deep - 1)
    stack = Pixels(pixels.values[:, :, places], pixels.hu, pixels.spacing)
    if stack.hu:
        _check_plausible(stack, entry.name)
    return stack, notes


def _read(entry: ScanEntry) -> tuple[Pixels, list[str]]:
    from brainct.ct.read import dicom, nifti  # slow imports that most runs do not need

    name = entry.path.name.lower()
    if entry.path.is_dir():
        return dicom.read_series(entry.path, entry.name, entry.root)
    if name.endswith(image.SUFFIXES):
        return image.read_image(entry.path, entry.name, entry.root), []
    if name.endswith(nifti.SUFFIXES):
        return nifti.read_nifti(entry.path, entry.name, entry.slice is not None, entry.root), []
    return dicom.read_file(entry.path, entry.name, entry.root)


def _cut(pixels: Pixels, entry: ScanEntry, dims: int) -> Pixels:
    """`slice` counts from the lowest slice of a DICOM series, and along the third axis of a NIfTI file."""
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
    return Pixels(pixels.values[:, :, entry.slice or 0], pixels.hu, pixels.spacing and pixels.spacing[:2])


def _check_plausible(pixels: Pixels, name: str) -> None:
    if pixels.spacing is not None and not 0 < min(pixels.spacing) <= max(pixels.spacing) < np.inf:
        raise Refused(f"{name}: pixel spacing {pixels.spacing} mm, wanted numbers more than 0: export it again")
    low, high = float(pixels.values.min()), float(pixels.values.max())
    if not low < NO_AIR < high:
        raise Refused(
            f"{name}: values from {low:g} to {high:g}, wanted HU with air (about -1000) around a head: "
            "export unwindowed HU with the right rescale intercept, and -1000 outside the head"
        )

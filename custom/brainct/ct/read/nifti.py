"""NIfTI volumes in HU."""

import gzip
import io
import math
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
from nibabel.fileholders import FileHolder
from nibabel.orientations import apply_orientation, axcodes2ornt, ornt_transform

from brainct.ct.preprocess import AIR, Pixels
from brainct.ct.read import stack
from brainct.ct.read.choices import DEFAULT, ReadChoices
from brainct.ct.read.nifti_geometry import Geometry, geometry_of
from brainct.ct.read.pixel_limits import VOLUME, VOLUME_FILE, check_pixel_count
from brainct.errors import Refused
from brainct.training.site_files import decoding, open_file

SUFFIXES = (".nii", ".nii.gz")
_KINDS = {348: nib.Nifti1Image, 540: nib.Nifti2Image}
"""By the length of the header, which is the first number in a file."""
_EXTENSIONS = 2**24
"""Most bytes between header and voxels, and after the voxels."""


def read_nifti(
    path: Path, name: str, keep_slices: bool = False, root: Path | None = None, how: ReadChoices = DEFAULT
) -> tuple[Pixels, list[str]]:
    """HU as (H, W, D), rows to the back, columns to the left, slices upwards; values below -1024 become -1000.

    keep_slices: keep the order of the slices in the file, so that a slice number is the file's third index.
    root: see `open_file`. how: what becomes of a tilted gantry, and the axes of a file that does not state them.
    """
    with open_file(path, name, root, VOLUME_FILE) as file, decoding(name, "unreadable or truncated NIfTI"):
        image = _decompress(file, name) if path.name.lower().endswith(".gz") else _image_of(file, *_header(file, name))
        values = np.asarray(image.dataobj, np.float32)
    values = values[..., 0] if values.ndim == 4 and values.shape[3] == 1 else values
    if values.ndim != 3:
        raise Refused(f"{name}: {values.ndim} axes of lengths {values.shape}, wanted a volume with three axes")
    if not np.isfinite(values).all():
        raise Refused(f"{name}: contains NaN or infinite values, wanted HU everywhere: write -1000 outside the scan")
    with decoding(name, "its axes cannot be read"):
        return _upright(geometry_of(image, name, how.axes), values, keep_slices, how, name)


def slices_of(path: Path, name: str, root: Path | None = None) -> int | None:
    """How many slices a volume has along its third axis, by its header; None where that says nothing of the kind."""
    with suppress(Refused), open_file(path, name, root, VOLUME_FILE) as file, decoding(name, "unreadable header"):
        packed = path.name.lower().endswith(".gz")
        shape = _kind(gzip.GzipFile(fileobj=file) if packed else file, name)[1].get_data_shape()
        return int(shape[2]) if len(shape) > 2 else None
    return None


def _upright(place: Geometry, values: Any, keep_slices: bool, how: ReadChoices, name: str) -> tuple[Pixels, list[str]]:
    notes = [stack.TILTED] * place.tilted
    if place.tilted and how.tilt == "refuse":
        raise Refused(f"{name}: gantry tilt: set `gantry_tilt: correct` in the site file, or leave the volume out")
    if place.tilted and how.tilt == "correct":
        values, notes = stack.deskewed(values, place.offsets(values.shape[2])), ["gantry tilt, corrected"]
    third = place.codes[2] if keep_slices else "S"
    turn = ornt_transform(axcodes2ornt(place.codes), axcodes2ornt(("P", "L", third)))
    spacing = tuple(place.spacing[int(np.flatnonzero(turn[:, 0] == axis)[0])] for axis in range(3))
    turned = np.ascontiguousarray(apply_orientation(values, turn), np.float32)
    pixels = Pixels(np.where(turned < -1024, np.float32(AIR), turned), True, spacing, float(turned.min()))
    return pixels, notes


def _decompress(file: BinaryIO, name: str) -> Any:
    """The image in a compressed file; decompresses no more than the header needs, and checks the checksum."""
    with gzip.GzipFile(fileobj=file) as stream:
        kind, length = _header(stream, name)
        most = length + _EXTENSIONS
        packed = stream.read(most + 1)
    if len(packed) > most:
        raise Refused(f"{name}: decompresses to more than its header says ({most:,} bytes): compress it again")
    return _image_of(io.BytesIO(packed), kind, length)


def _header(file: BinaryIO | gzip.GzipFile, name: str) -> tuple[Any, int]:
    """The NIfTI class, and the bytes up to the end of the voxels; refuses more voxels than a volume may have."""
    kind, header = _kind(file, name)
    shape, offset = header.get_data_shape(), header.get_data_offset()
    check_pixel_count(math.prod(shape) if min(shape, default=0) > 0 else 0, VOLUME, name)
    if not 0 <= offset <= _EXTENSIONS:
        raise Refused(f"{name}: the voxels begin at byte {offset:,}, wanted at most {_EXTENSIONS:,}: write it again")
    return kind, offset + math.prod(shape) * header.get_data_dtype().itemsize


def _kind(file: BinaryIO | gzip.GzipFile, name: str) -> tuple[Any, Any]:
    """The NIfTI class, and the header itself."""
    head = file.read(max(_KINDS))
    file.seek(0)
    own = {int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")} & _KINDS.keys()
    if not own:
        raise Refused(f"{name}: unreadable or truncated NIfTI (no header): copy it again")
    kind = _KINDS[own.pop()]
    return kind, kind.header_class(head[: kind.header_class.sizeof_hdr], check=False)


def _image_of(file: BinaryIO | io.BytesIO, kind: Any, length: int) -> Any:
    if file.seek(0, io.SEEK_END) < length:
        raise EOFError
    file.seek(0)
    return kind.from_file_map({"image": FileHolder(fileobj=file)}, mmap=False)

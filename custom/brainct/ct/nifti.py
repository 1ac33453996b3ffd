"""NIfTI volumes that already hold HU."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import aff2axcodes, apply_orientation, axcodes2ornt, io_orientation, ornt_transform

from brainct.ct.pixels import AIR, Pixels
from brainct.errors import Refused

SUFFIXES = (".nii", ".nii.gz")


def read_nifti(path: Path, name: str, keep_slices: bool = False) -> Pixels:
    """HU as (H, W, D), rows to the back, columns to the left, slices upwards; values below -1024 become -1000.

    keep_slices: leave the slices in the file's own order, so that a slice number means the file's third index.
    """
    try:
        image = nib.load(path)
        values = np.asarray(image.dataobj, np.float32)
    except (OSError, EOFError, ValueError, TypeError, ImageFileError) as error:
        raise Refused(f"{name}: unreadable or truncated NIfTI ({type(error).__name__}): copy it again") from None
    values = values[..., 0] if values.ndim == 4 and values.shape[3] == 1 else values
    if values.ndim != 3:
        raise Refused(f"{name}: {values.ndim} axes of lengths {values.shape}, wanted a volume of three")
    if not np.isfinite(values).all():
        raise Refused(f"{name}: holds NaN or infinite values, wanted HU everywhere: write -1000 outside the scan")
    codes = aff2axcodes(image.affine)
    if codes[2] not in ("S", "I"):
        raise Refused(f"{name}: its third axis runs to {codes[2]}, wanted axial slices (S or I): reformat it")
    third = codes[2] if keep_slices else "S"
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(("P", "L", third)))
    zooms = [float(zoom) for zoom in image.header.get_zooms()[:3]]
    spacing = tuple(zooms[int(np.flatnonzero(turn[:, 0] == axis)[0])] for axis in range(3))
    turned = np.ascontiguousarray(apply_orientation(values, turn), np.float32)
    return Pixels(np.where(turned < -1024, np.float32(AIR), turned), hu=True, spacing=spacing)

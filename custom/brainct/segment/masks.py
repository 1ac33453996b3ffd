"""Masks as files: NIfTI label volumes, and DICOM SEG objects of a series, through highdicom."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainct.ct.read.entries import path_inside
from brainct.ct.read.mask_values import values_of
from brainct.errors import Refused
from brainct.training.site_files import decoding, open_file

Volume = NDArray[np.int16]
"""(H, W, D) label values, rows to the back, columns to the left, slices upwards; 0 is no finding."""

Masks = NDArray[np.int8]
"""(F, H, W[, D]): 1 in the mask of a finding, 0 outside, -1 where nothing is known of it."""

NIFTI = (".nii", ".nii.gz")


def read_mask(root: Path, mask: str, image: str, keep_slices: bool) -> Volume:
    """The label values of a mask file below root, in the orientation of its image; see ct.read.

    keep_slices: of a NIfTI, the slices stay in the file's order, as its image's then do.
    """
    path = path_inside(root, mask, "mask")
    if not path.is_file():
        raise Refused(f"{mask}: no such mask: correct the column `mask`")
    if path.name.lower().endswith(NIFTI):
        return _of_nifti(path, mask, keep_slices, root)
    return _of_dicom(path, path_inside(root, image, "image"), mask, root)


def marked(values: Volume, mask_values: Mapping[int, str], findings: Sequence[str]) -> Masks:
    """(F, H, W[, D]) masks of the findings; `any` is the union of the kinds of bleeding that the site marks."""
    table = np.zeros((len(findings), 1 + int(values.max(initial=0))), np.int8)
    for at, name in enumerate(findings):
        own = values_of(name, mask_values)
        table[at, [value for value in own if value < table.shape[1]]] = 1
        if not own:
            table[at] = -1
    found: Masks = table[:, values]
    return found


def _of_nifti(path: Path, name: str, keep_slices: bool, root: Path) -> Volume:
    from brainct.ct.read.nifti import read_nifti

    values = read_nifti(path, name, keep_slices, root)[0].values
    if (values != np.rint(values)).any() or not 0 <= values.min() <= values.max() < 2**15:
        raise Refused(f"{name}: a mask holds whole label values from 0 to {2**15 - 1}; this file holds others")
    found: Volume = values.astype(np.int16)
    return found


def _of_dicom(path: Path, series: Path, name: str, root: Path) -> Volume:
    """A DICOM SEG brought to the grid of its series; of segments that overlap the highest number counts."""
    try:
        import highdicom
        import pydicom
    except ImportError:
        raise Refused(f"{name}: DICOM SEG needs highdicom: pip install 'flare-brainct[dicom]'") from None
    if not series.is_dir():
        raise Refused(f"{name}: a DICOM SEG belongs to a series: give its folder as `image`")
    with open_file(path, name, root) as file, decoding(name, "not readable as a DICOM SEG of this series"):
        given = highdicom.seg.segread(file)
        slices = [pydicom.dcmread(each) for each in sorted(series.iterdir()) if each.is_file()]
        image = highdicom.get_volume_from_series([one for one in slices if one.get("Modality") == "CT"])
        grid = image.to_patient_orientation("PLH")
        segments: Any = given.get_volume(combine_segments=True, skip_overlap_checks=True, dtype=np.int16)
        found = segments.match_geometry(grid.get_geometry()).array
    return np.asarray(found, np.int16)

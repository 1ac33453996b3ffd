"""Where the axes of a NIfTI volume run in the patient, how far its slices are apart, and whether they are tilted."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.orientations import aff2axcodes
from numpy.typing import NDArray

from brainct.ct.read.slices import STEEP, TILT
from brainct.errors import Refused


@dataclass(frozen=True)
class Geometry:
    """codes: the end to which each axis runs, such as R, A, S. spacing: mm, of slices perpendicular to them.

    shear: how far each slice lies from straight above the one before, in voxels along the first and the second axis.
    """

    codes: tuple[str, str, str]
    spacing: tuple[float, float, float]
    shear: tuple[float, float]
    tilted: bool

    def offsets(self, deep: int) -> NDArray[np.float64]:
        """(deep, 2) of each slice from the first, in voxels."""
        steps: NDArray[np.float64] = np.arange(deep)[:, None] * np.array(self.shear)
        return steps


def geometry_of(image: Any, name: str, axes: str | None = None) -> Geometry:
    """The geometry of a nibabel image; Refused without orientation, or where its slices are not axial.

    axes: the orientation of a file that states none.
    """
    header, affine = image.header, np.asarray(image.affine, float)
    if not np.isfinite(affine).all():
        raise Refused(f"{name}: NaN or infinite numbers in its affine: convert it again from DICOM")
    stated = bool(header["qform_code"]) or bool(header["sform_code"])
    if not stated or np.array_equal(affine, np.eye(4)):
        return _assumed(header, name, axes, stated)
    codes = aff2axcodes(affine)
    if codes[2] not in ("S", "I"):
        raise Refused(f"{name}: its third axis runs to {codes[2]}, wanted axial slices (S or I): reformat it")
    across, down, up = affine[:3, :3].T
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    normal = np.cross(across, down)
    normal = normal / np.linalg.norm(normal)
    _check_axial(normal, across / lengths[0], down / lengths[1], name)
    shear = (float(up @ across / lengths[0] ** 2), float(up @ down / lengths[1] ** 2))
    gap = abs(float(up @ normal))
    aslant = np.degrees(np.arctan2(np.hypot(shear[0] * lengths[0], shear[1] * lengths[1]), gap))
    tilted = max(aslant, np.degrees(np.arccos(min(1.0, abs(normal[2]))))) > TILT
    return Geometry(codes, (float(lengths[0]), float(lengths[1]), gap), shear, bool(tilted))


def _assumed(header: Any, name: str, axes: str | None, stated: bool) -> Geometry:
    if axes is None:
        what = "an identity affine" if stated else "no orientation (qform_code and sform_code are 0)"
        raise Refused(
            f"{name}: {what}, so the head can be mirrored or upside down: convert it again from DICOM, or look at it "
            "and set `nifti_axes` in the site file, such as LPS or RAS"
        )
    zooms = [float(zoom) for zoom in header.get_zooms()[:3]]
    return Geometry((axes[0], axes[1], axes[2]), (zooms[0], zooms[1], zooms[2]), (0.0, 0.0), False)


def _check_axial(
    normal: NDArray[np.float64], across: NDArray[np.float64], down: NDArray[np.float64], name: str
) -> None:
    tilt = float(np.degrees(np.arccos(min(1.0, abs(normal[2])))))
    turned = float(np.degrees(np.arccos(min(1.0, max(abs(across[0]), abs(across[1]))))))
    if max(tilt, turned) > STEEP:
        raise Refused(f"{name}: its slices lie {max(tilt, turned):.0f} degrees off axial: give the axial series")
    if abs(across @ down) > 0.01:
        raise Refused(f"{name}: its slices are sheared (the first two axes are not perpendicular): reformat it")

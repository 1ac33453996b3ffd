"""HU equal those of SimpleITK, an independent reader, on every CT file that pydicom ships, compressed ones too."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import JPEG2000Lossless, RLELossless

from brainct.ct.read.dicom import read_file
from tests.support.forged import head, write_dicom

sitk = pytest.importorskip("SimpleITK")
FOLDER = Path(str(get_testdata_file("CT_small.dcm", download=False))).parent
READABLE = (
    "693_J2KI.dcm",
    "CT_small.dcm",
    "J2K_pixelrep_mismatch.dcm",
    *[f"dicomdirtests/77654033/CT2/{name}" for name in (17106, 17136, 17166, 17196)],
    *[f"dicomdirtests/98892001/CT5N/{name}" for name in (2062, 2392, 2693, 3023, 3353)],
)


def by_simpleitk(path: Path) -> np.ndarray:
    """(H, W) HU as another reader gives them."""
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0].astype(float)


@pytest.mark.parametrize("name", READABLE)
def test_hu_are_those_of_simpleitk_to_the_last_unit(name: str) -> None:
    """Below -1024 there is no HU; both readers agree on where that is."""
    ours, theirs = read_file(FOLDER / name, name)[0].values, by_simpleitk(FOLDER / name)
    real = theirs >= -1024
    np.testing.assert_array_equal(ours[real], theirs[real])
    assert (ours[~real] == -1000).all()


@pytest.mark.filterwarnings("ignore")  # some of these files are damaged on purpose
def test_no_ct_file_of_pydicom_is_left_out() -> None:
    found = []
    for path in sorted(FOLDER.rglob("*")):
        if path.is_file() and path.read_bytes()[128:132] == b"DICM":
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Modality", "Rows", "ImageType"])
            scout = "LOCALIZER" in (header.get("ImageType") or [])
            if header.get("Modality") == "CT" and header.get("Rows") and not scout:
                found.append(path.relative_to(FOLDER).as_posix())
    assert sorted(found) == sorted(READABLE)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, RLELossless])
def test_what_is_compressed_without_loss_has_the_hu_of_the_original(tmp_path: Path, syntax: str) -> None:
    write_dicom(tmp_path / "a.dcm", head(1))
    header = pydicom.dcmread(tmp_path / "a.dcm")
    header.compress(syntax)
    header.save_as(tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_file(tmp_path / "a.dcm", "a.dcm")[0].values, np.round(head(1)))
    np.testing.assert_array_equal(by_simpleitk(tmp_path / "a.dcm"), np.round(head(1)))

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
OF_PYDICOM_DATA = (
    *[f"693_{kind}.dcm" for kind in ("J2KR", "UNCI", "UNCR")],
    *[f"{name}.dcm" for name in ("bad_sequence", "explicit_VR-UN", "eCT_Supplemental")],
)
"""The CT files of the package pydicom-data, which the installation of the tests brings."""


def by_simpleitk(path: Path) -> np.ndarray:
    """(H, W) HU as another reader gives them."""
    return volume_by_simpleitk(path)[0]


def volume_by_simpleitk(path: Path) -> np.ndarray:
    """(D, H, W) HU, turned so that rows run to the left and columns to the back of the patient, as all scans are."""
    return sitk.GetArrayFromImage(sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")).astype(float)


@pytest.mark.parametrize("name", READABLE)
def test_hu_are_those_of_simpleitk_to_the_last_unit(name: str) -> None:
    """Below -1024 there is no HU; both readers agree on where that is."""
    ours, theirs = read_file(FOLDER / name, name)[0].values, by_simpleitk(FOLDER / name)
    real = theirs >= -1024
    np.testing.assert_array_equal(ours[real], theirs[real])
    assert (ours[~real] == -1000).all()


@pytest.mark.parametrize("name", OF_PYDICOM_DATA)
def test_larger_files_flipped_ones_and_a_file_of_frames_have_these_hu_too(name: str) -> None:
    """One is stored upside down, and one, which has two frames, mirrored."""
    found = get_testdata_file(name, download=False)
    assert found is not None, "pip install '.[test]' brings pydicom-data"
    ours = np.atleast_3d(read_file(Path(str(found)), name)[0].values)
    for at, theirs in enumerate(volume_by_simpleitk(Path(str(found)))):
        np.testing.assert_array_equal(ours[theirs >= -1024, at], theirs[theirs >= -1024])
    assert ours.shape[2] == (2 if name.startswith("eCT") else 1)


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


@pytest.mark.parametrize("name", ["MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm", "MR_small_RLE.dcm"])
def test_each_decoder_of_the_extra_gives_the_values_of_the_uncompressed_file(tmp_path: Path, name: str) -> None:
    """pydicom ships one image in four syntaxes; as CT, its stored values are read as HU."""
    read = []
    for each in ("MR_small.dcm", name):
        header = pydicom.dcmread(FOLDER / each)
        header.Modality, header.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        header.RescaleSlope, header.RescaleIntercept = 1, -1024
        header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        header.save_as(tmp_path / each)
        read.append(read_file(tmp_path / each, each)[0].values)
    np.testing.assert_array_equal(*read)
    assert read[0].std() > 10

"""DICOM and NIfTI: HU, order, orientation, and all that is no axial CT."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from pydicom.data import get_testdata_file

from brainct.ct.read.dicom import read_file, read_series
from brainct.ct.read.nifti import read_nifti
from brainct.errors import Refused
from tests.support.forged import head, pydicom_study, write_dicom, write_nifti, write_series

PICKER = Path(__file__).parents[3] / "shared" / "data" / "CT_MONO2_16_brain.dcm"


def refused(path: Path) -> str:
    with pytest.raises(Refused) as refusal:
        (read_series if path.is_dir() else read_file)(path, f"ward/{path.name}")
    assert str(refusal.value).startswith(f"ward/{path.name}")
    return str(refusal.value)


def test_stored_values_become_hu_by_slope_and_intercept(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", head(1))
    pixels, notes = read_file(tmp_path / "a.dcm", "a.dcm")
    assert_array_equal(pixels.values, np.round(head(1)))
    assert (pixels.hu, pixels.spacing, notes) == (True, (1.0, 1.0), [])
    write_dicom(tmp_path / "b.dcm", head(1), RescaleSlope=0.5, RescaleIntercept=-512)
    half = read_file(tmp_path / "b.dcm", "b.dcm")[0].values
    assert_array_equal(half, np.round(head(1)) / 2)


def test_padding_and_all_below_minus_1024_is_air(tmp_path: Path) -> None:
    hu = head(1)
    hu[0, :2], hu[1, :2] = 3000, -2000
    write_dicom(tmp_path / "a.dcm", hu, PixelPaddingValue=3000 + 1024)
    values = read_file(tmp_path / "a.dcm", "a.dcm")[0].values
    assert (values[:2, :2] == -1000).all()
    write_dicom(tmp_path / "b.dcm", hu, PixelPaddingValue=3990, PixelPaddingRangeLimit=4050)
    assert (read_file(tmp_path / "b.dcm", "b.dcm")[0].values[0, :2] == -1000).all()
    write_dicom(tmp_path / "c.dcm", hu)
    assert (read_file(tmp_path / "c.dcm", "c.dcm")[0].values[0, :2] == 3000).all()


def test_monochrome1_keeps_its_hu_and_is_refused_if_its_border_is_not_air(tmp_path: Path) -> None:
    """PS3.3 C.7.6.3.1.2: it says how a screen shows the values; an export that inverts them has a bright border."""
    write_dicom(tmp_path / "a.dcm", head(1), PhotometricInterpretation="MONOCHROME1")
    pixels, notes = read_file(tmp_path / "a.dcm", "a.dcm")
    assert_array_equal(pixels.values, np.round(head(1)))
    assert notes == ["MONOCHROME1, HU as stored"]
    write_dicom(tmp_path / "b.dcm", 2000 - head(1), PhotometricInterpretation="MONOCHROME1")
    assert "MONOCHROME1, and the border of the image has 3000 HU, wanted air" in refused(tmp_path / "b.dcm")


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        ([-1, 0, 0, 0, 1, 0], np.s_[:, ::-1]),
        ([1, 0, 0, 0, -1, 0], np.s_[::-1]),
        ([-1, 0, 0, 0, -1, 0], np.s_[::-1, ::-1]),
    ],
)
def test_a_patient_in_another_position_is_turned_upright(
    tmp_path: Path, orientation: list[int], stored: object
) -> None:
    write_dicom(tmp_path / "a.dcm", head(1)[stored], ImageOrientationPatient=orientation)
    assert_array_equal(read_file(tmp_path / "a.dcm", "a.dcm")[0].values, np.round(head(1)))


def test_gantry_tilt_is_noted(tmp_path: Path) -> None:
    tilt = np.radians(15)
    write_dicom(tmp_path / "a.dcm", head(1), ImageOrientationPatient=[1, 0, 0, 0, np.cos(tilt), -np.sin(tilt)])
    write_dicom(tmp_path / "b.dcm", head(1), GantryDetectorTilt=-15)
    for name in ("a.dcm", "b.dcm"):
        assert read_file(tmp_path / name, name)[1] == ["gantry tilt, not corrected"]


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"Modality": "MR"}, "Modality is MR, wanted CT: leave it out"),
        ({"Modality": None}, "Modality is None, wanted CT"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "a localizer (scout) image, wanted an axial slice"),
        ({"BurnedInAnnotation": "YES"}, "BurnedInAnnotation is YES, so the image may show a name"),
        ({"NumberOfFrames": 2}, "2 frames in one file, without their places: convert it to one file a slice"),
        ({"SamplesPerPixel": 3}, "a colour image, wanted one value per pixel"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "not an axial slice (90 degrees from axial)"),
        ({"ImageOrientationPatient": [0, 1, 0, -1, 0, 0]}, "not an axial slice (0 degrees from axial)"),
        ({"ImageOrientationPatient": None}, "wanted 6 numbers in ImageOrientationPatient: export the original"),
        ({"ImagePositionPatient": None}, "wanted 3 numbers in ImagePositionPatient"),
        ({"PixelSpacing": None}, "wanted 2 numbers in PixelSpacing"),
        ({"RescaleIntercept": None}, "wanted 1 number in RescaleIntercept"),
        ({"RescaleSlope": None}, "wanted 1 number in RescaleSlope"),
        ({"PixelData": b"\0" * 100}, "the pixels cannot be decoded (ValueError): copy it again if it is truncated"),
    ],
)
def test_anything_but_an_axial_ct_slice_is_refused(tmp_path: Path, tags: dict[str, object], words: str) -> None:
    write_dicom(tmp_path / "a.dcm", head(1), **tags)
    assert words in refused(tmp_path / "a.dcm")


def test_a_file_that_is_no_dicom_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_text("hello")
    assert "not readable as DICOM (InvalidDicomError): copy it again" in refused(tmp_path / "a.dcm")


def test_a_series_is_stacked_from_the_lowest_slice_up(tmp_path: Path) -> None:
    write_series(tmp_path / "series", slices=4, gap=2.5)
    pixels, notes = read_series(tmp_path / "series", "series")
    assert_array_equal(pixels.values, np.round(np.stack([head(at) for at in range(4)], axis=2)))
    assert (pixels.spacing, notes) == ((1.0, 1.0, 2.5), [])


def test_localizers_in_a_series_are_skipped_with_a_note(tmp_path: Path) -> None:
    write_series(tmp_path / "series")
    tags = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}
    write_dicom(tmp_path / "series" / "scout.dcm", head(9), **tags)
    pixels, notes = read_series(tmp_path / "series", "series")
    assert pixels.values.shape[2] == 4
    assert notes == ["localizer images skipped"]


@pytest.mark.parametrize(
    ("z", "tags", "words"),
    [
        (40.0, {}, "25.00 mm between two slices, 5.00 mm between others: slices are missing"),
        (15.0, {}, "two slices at one position: keep one reconstruction per folder"),
        (20.0, {"SeriesInstanceUID": "9.9"}, "more than one series in this folder: keep the plain brain series"),
        (20.0, {"ImageOrientationPatient": [1, 0, 0, 0, 0.98, 0.2]}, "slices of different orientation in one series"),
        (20.0, {"PixelSpacing": [2, 2]}, "slices of different size or pixel spacing in one series"),
    ],
)
def test_a_series_that_is_not_one_stack_is_refused(
    tmp_path: Path, z: float, tags: dict[str, object], words: str
) -> None:
    write_series(tmp_path / "series", slices=4, gap=5.0)
    write_dicom(tmp_path / "series" / "z.dcm", head(9), z=z, **tags)
    assert words in refused(tmp_path / "series")


def test_a_dicomdir_among_the_slices_is_ignored(tmp_path: Path) -> None:
    write_series(tmp_path / "series", slices=3)
    (tmp_path / "series" / "DICOMDIR").write_text("a table of contents")
    assert read_series(tmp_path / "series", "series")[0].values.shape[2] == 3


def test_a_folder_without_a_slice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    assert "no axial DICOM slice in this folder" in refused(tmp_path / "series")


def test_a_real_head_series_of_pydicom_is_sorted_by_position() -> None:
    pixels, notes = read_series(pydicom_study("98892001/CT5N"), "CT5N")
    assert pixels.values.shape == (16, 16, 5)
    assert pixels.spacing == pytest.approx((0.488281, 0.488281, 2.5))
    lowest = read_file(pydicom_study("98892001/CT5N") / "3353", "3353")[0].values
    assert_array_equal(pixels.values[:, :, 0], lowest)
    assert notes == []


def test_a_real_head_series_with_slices_missing_is_refused() -> None:
    with pytest.raises(Refused, match=r"CT2: 202.50 mm between two slices, 1.25 mm between others"):
        read_series(pydicom_study("77654033/CT2"), "CT2")


def test_real_scouts_and_real_mr_are_refused() -> None:
    assert "localizer" in refused(pydicom_study("98892001/CT2N") / "6293")
    assert "no axial DICOM slice" in refused(pydicom_study("98892001/CT2N"))
    assert "Modality is MR" in refused(Path(str(get_testdata_file("MR_small.dcm", download=False))))


def test_a_real_truncated_file_is_refused() -> None:
    refusal = refused(Path(str(get_testdata_file("rtplan_truncated.dcm", download=False))))
    assert "Modality is RTPLAN" in refusal or "not readable" in refusal


@pytest.mark.skipif(not PICKER.exists(), reason=f"{PICKER} is not on this machine")
def test_a_real_brain_slice_of_1999_is_read() -> None:
    pixels, notes = read_file(PICKER, PICKER.name)
    assert pixels.values.shape == (512, 512)
    assert (pixels.values.min(), pixels.values.max()) == (-1024, 1440)
    assert (pixels.spacing, notes) == ((0.46875, 0.46875), [])


VOLUME = np.stack([head(at) for at in range(3)], axis=2)


@pytest.mark.parametrize("codes", ["PLS", "RAS", "LPS", "LAI", "ARI"])
def test_a_volume_is_turned_upright_whatever_its_storage(tmp_path: Path, codes: str) -> None:
    upright = nib.Nifti1Image(VOLUME, np.array([[0, -2.0, 0, 0], [-1, 0, 0, 0], [0, 0, 5, 0], [0, 0, 0, 1]]))
    assert nib.aff2axcodes(upright.affine) == ("P", "L", "S")
    turn = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(upright.affine), nib.orientations.axcodes2ornt(codes)
    )
    nib.save(upright.as_reoriented(turn), tmp_path / "a.nii.gz")
    pixels = read_nifti(tmp_path / "a.nii.gz", "a.nii.gz")[0]
    assert_array_equal(pixels.values, VOLUME)
    assert (pixels.hu, pixels.spacing) == (True, (1.0, 2.0, 5.0))


def test_values_below_minus_1024_in_nifti_are_air(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", np.where(VOLUME == -1000, np.float32(-3024), VOLUME))
    assert read_nifti(tmp_path / "a.nii", "a.nii")[0].values.min() == -1000


def test_slices_keep_the_files_order_when_they_are_numbered(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", VOLUME, np.diag([-1.0, -1.0, -5.0, 1.0]))
    numbered = read_nifti(tmp_path / "a.nii", "a.nii", keep_slices=True)[0].values
    assert_array_equal(numbered[:, :, 0], VOLUME[:, :, 0].T)
    assert_array_equal(read_nifti(tmp_path / "a.nii", "a.nii")[0].values[:, :, 2], VOLUME[:, :, 0].T)


def _broken(path: Path) -> None:
    write_nifti(path, VOLUME)
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_broken, r"unreadable or truncated NIfTI \(EOFError\): copy it again"),
        (lambda path: path.write_text("x"), r"unreadable or truncated NIfTI \(no header\)"),
        (lambda path: write_nifti(path, np.zeros((4, 4, 4, 2))), r"4 axes of lengths \(4, 4, 4, 2\), wanted a volume"),
        (lambda path: write_nifti(path, np.full((4, 4, 4), np.nan)), "contains NaN or infinite values, wanted HU"),
        (
            lambda path: write_nifti(
                path, VOLUME, np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])
            ),
            r"its third axis runs to A, wanted axial slices \(S or I\)",
        ),
    ],
)
def test_a_nifti_that_is_no_axial_volume_is_refused(tmp_path: Path, make: object, words: str) -> None:
    make(tmp_path / "a.nii")  # type: ignore[operator]
    with pytest.raises(Refused, match="^ward/a.nii: " + words):
        read_nifti(tmp_path / "a.nii", "ward/a.nii")


def test_real_nifti_of_nibabel_are_read_or_refused() -> None:
    folder = Path(os.path.dirname(nib.__file__)) / "tests" / "data"
    assert read_nifti(folder / "anatomical.nii", "anatomical.nii")[0].values.shape == (41, 33, 25)
    with pytest.raises(Refused, match="4 axes"):
        read_nifti(folder / "example4d.nii.gz", "example4d.nii.gz")

"""Scans as they come: inverted, with a wrong intercept, on their side, tilted, doubled, mixed, with odd headers."""

import struct
import unicodedata
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image, ImageOps
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian

from brainct.ct.read.choices import ReadChoices
from brainct.ct.read.decode import decode
from brainct.ct.read.dicom import read_file, read_series
from brainct.ct.read.listing import ScanEntry
from brainct.ct.read.nifti import read_nifti
from brainct.errors import Refused
from tests.support.forged import (
    PNG,
    grey,
    head,
    labels_of,
    lines,
    manifest,
    opened,
    png_set,
    refused,
    write_dicom,
    write_nifti,
    write_png,
    write_series,
)


def read(path: Path, dims: int = 2, **how: str):
    return decode(ScanEntry(f"ward/{path.name}", path, np.full(6, np.nan, np.float32)), dims, ReadChoices(**how))


def refusal(path: Path, dims: int = 2, **how: str) -> str:
    with pytest.raises(Refused) as found:
        read(path, dims, **how)
    assert str(found.value).startswith(f"ward/{path.name}")
    return str(found.value)


def test_a_lost_intercept_is_found_where_the_padding_looks_like_air(tmp_path: Path) -> None:
    """C3: padding becomes -1000, so the check for air looks at the pixels outside the padding."""
    stored = np.round(head(1)) + 1024
    stored[:2] = 0
    for pad in (None, 0):
        tags = {"RescaleIntercept": 0} | ({} if pad is None else {"PixelPaddingValue": pad})
        write_dicom(tmp_path / "a.dcm", stored - 1024, **tags)
        assert "wanted HU with air (about -1000) around a head" in refusal(tmp_path / "a.dcm")
    write_series(tmp_path / "s")
    for at, path in enumerate(sorted((tmp_path / "s").iterdir())):
        write_dicom(path, stored - 1024, z=5 * at, RescaleIntercept=0, PixelPaddingValue=0)
    entry = ScanEntry("s", tmp_path / "s", np.full(6, np.nan, np.float32), slice=1)
    with pytest.raises(Refused, match="wanted HU with air"):
        decode(entry, 2)


def test_an_intercept_that_is_added_twice_is_refused(tmp_path: Path) -> None:
    """C4: brain would be at -989, as black as air."""
    write_dicom(tmp_path / "a.dcm", np.pad(head(1), 8, constant_values=-1000) - 1024)
    assert "the stored values are HU already, and the rescale intercept of -1024" in refusal(tmp_path / "a.dcm")
    volume = np.stack([head(at) for at in range(4)], 2) - 1024
    write_nifti(tmp_path / "a.nii", np.clip(volume, -1024, None))
    assert "the middle of the volume has" in refusal(tmp_path / "a.nii", 3)


def test_padding_of_minus_2000_outside_the_scanners_circle_is_no_fault(tmp_path: Path) -> None:
    hu = head(1, 64, 64)
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    hu[np.hypot(x, y) > 1] = -3024
    write_dicom(tmp_path / "a.dcm", hu)
    values = read(tmp_path / "a.dcm")[0].values
    assert values[0, 0] == -1000
    assert_array_equal(values[20:40, 20:40], np.round(hu[20:40, 20:40]))


def test_a_site_whose_scans_show_no_head_is_refused(tmp_path: Path) -> None:
    """Four slices and more of which most are empty in the middle: not a head, or not HU."""
    for at in range(6):
        hu = np.full((40, 32), -1000, np.float32)
        hu[0, at] = 50
        write_dicom(tmp_path / "scans" / f"{at}.dcm", hu)
    manifest(tmp_path, *[f"{at}.dcm,{at % 2},p{at}" for at in range(6)])
    assert "6 of 6 scans have no soft tissue in the middle of the image" in refused(tmp_path, kind="manifest")


def png16(path: Path, channels: int, colour: int) -> None:
    """A PNG of 16 bits a channel, which Pillow cannot write."""
    values = np.repeat((head(1) + 1024).astype(">u2")[..., None], channels, 2)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    start = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colour, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in values))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", start) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


@pytest.mark.parametrize(("channels", "colour"), [(1, 0), (2, 4), (3, 2), (4, 6)])
def test_sixteen_bits_a_channel_are_refused_in_every_colour(tmp_path: Path, channels: int, colour: int) -> None:
    png16(tmp_path / "a.png", channels, colour)
    assert "16-bit pixels, wanted 8-bit grey or colour" in refusal(tmp_path / "a.png")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_lies_as_its_exif_says(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(grey(1)).save(tmp_path / "a.png", exif=exif)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png")).convert("L"), float)
    assert_array_equal(read(tmp_path / "a.png")[0].values, shown)


VOLUME = np.stack([head(at) for at in range(6)], axis=2)


def affine(tilt: float = 0.0, aslant: float = 0.0, gap: float = 5.0) -> np.ndarray:
    """Axes to L and P, slices upwards. tilt: degrees of the slices; aslant: of their stack."""
    t, a = np.radians((tilt, aslant))
    down, normal = np.array([0, -np.cos(t), -np.sin(t)]), np.array([0, -np.sin(t), np.cos(t)])
    found = np.eye(4)
    found[:3, :3] = np.stack([[-1.0, 0, 0], down, gap * (normal + np.tan(a) * down)], axis=1)
    return found


@pytest.mark.parametrize("spoil", ["no code", "identity"])
def test_a_volume_without_orientation_is_refused_unless_the_site_file_states_it(tmp_path: Path, spoil: str) -> None:
    """C7: nibabel guesses LAS where both codes are 0; a head would be read mirrored."""
    image = nib.Nifti1Image(np.ascontiguousarray(VOLUME.transpose(1, 0, 2)), np.eye(4))
    if spoil == "no code":
        image.set_sform(None, 0), image.set_qform(None, 0)
    nib.save(image, tmp_path / "a.nii")
    words = "no orientation (qform_code" if spoil == "no code" else "an identity affine"
    assert words in refusal(tmp_path / "a.nii", 3)
    assert_array_equal(read(tmp_path / "a.nii", 3, axes="LPS")[0].values, VOLUME)
    assert_array_equal(read(tmp_path / "a.nii", 3, axes="RPS")[0].values, VOLUME[:, ::-1])


def test_slices_far_off_axial_and_sheared_slices_are_refused(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", VOLUME, affine(tilt=40))
    assert "its slices lie 40 degrees off axial" in refusal(tmp_path / "a.nii", 3)
    sheared = affine()
    sheared[0, 1] = 0.2
    write_nifti(tmp_path / "a.nii", VOLUME, sheared)
    assert "its slices are sheared" in refusal(tmp_path / "a.nii", 3)


def test_the_spacing_of_a_tilted_stack_is_perpendicular_to_its_slices(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", VOLUME, affine(aslant=17))
    pixels, notes = read(tmp_path / "a.nii", 3)
    assert pixels.spacing == pytest.approx((1, 1, 5.0))
    assert notes == ["gantry tilt, not corrected"]
    assert "gantry tilt: set `gantry_tilt: correct`" in refusal(tmp_path / "a.nii", 3, tilt="refuse")


def ramp(rows: np.ndarray, columns: np.ndarray, height: float) -> np.ndarray:
    """HU that are linear in mm, so that linear interpolation finds them exactly."""
    return 10 + 1.5 * rows[:, None] - 0.5 * columns + 2 * height


@pytest.mark.parametrize("stored", ["dicom", "nifti"])
def test_a_tilted_gantry_is_corrected_to_one_hu(tmp_path: Path, stored: str) -> None:
    """Each slice lies 5 mm tan(15) further along its columns; corrected, they stand in one line."""
    rows, columns, step = np.arange(40.0), np.arange(32.0), 5 * np.tan(np.radians(15))
    hu = np.stack([ramp(rows + at * step, columns, 5 * at) for at in range(6)], axis=2)
    hu[0, 0] = -1000
    if stored == "nifti":
        write_nifti(tmp_path / "a.nii", hu.transpose(1, 0, 2), affine(aslant=15))
        path = tmp_path / "a.nii"
    else:
        path = tmp_path / "s"
        tilt = np.radians(15)
        across, down = np.array([1, 0, 0]), np.array([0, np.cos(tilt), -np.sin(tilt)])
        for at in range(6):
            place = at * (5 * np.array([0, np.sin(tilt), np.cos(tilt)]) + step * down)
            tags = {"ImageOrientationPatient": [*across, *down], "ImagePositionPatient": place.tolist()}
            write_dicom(path / f"{at}", hu[:, :, at], RescaleSlope=0.01, RescaleIntercept=0, **tags)
            header = pydicom.dcmread(path / f"{at}")
            header.PixelData = np.round(hu[:, :, at] * 10).astype("<i2").tobytes()
            header.RescaleSlope = 0.1
            header.save_as(path / f"{at}")
    pixels, notes = read(path, 3, tilt="correct")
    truth = np.stack([ramp(rows, columns, 5 * at) for at in range(6)], axis=2)
    assert notes == ["gantry tilt, corrected"]
    assert pixels.spacing == pytest.approx((1, 1, 5.0))
    assert_allclose(pixels.values[10:-1, 1:], truth[10:-1, 1:], atol=1)
    uncorrected = read(path, 3)[0].values
    assert np.abs(uncorrected - truth)[10:-1, 1:].max() > 5


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("GantryDetectorTilt", b"0\0", None),
        ("GantryDetectorTilt", b"0,5", None),
        ("GantryDetectorTilt", b"flat", "an element of the header cannot be read"),
        ("NumberOfFrames", b"x ", "an element of the header cannot be read"),
        ("RescaleType", b"OD", "RescaleType is OD, wanted HU"),
        ("RescaleType", b"US", None),
    ],
)
def test_odd_elements_give_one_sentence_that_names_the_file(tmp_path: Path, name: str, value: bytes, words) -> None:
    write_dicom(tmp_path / "a.dcm", head(1))
    header = pydicom.dcmread(tmp_path / "a.dcm")
    tag, vr = pydicom.datadict.tag_for_keyword(name), pydicom.datadict.dictionary_VR(name)
    header._dict[pydicom.tag.Tag(tag)] = pydicom.dataelem.RawDataElement(
        pydicom.tag.Tag(tag), vr, len(value), value, 0, False, True
    )
    header.save_as(tmp_path / "a.dcm")
    if words is None:
        assert_array_equal(read(tmp_path / "a.dcm")[0].values, np.round(head(1)))
    else:
        assert words in refusal(tmp_path / "a.dcm")


def test_a_padding_of_two_values_and_a_cut_deflated_file_are_refused_by_name(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", head(1), PixelPaddingValue=[1, 2])
    assert "an element of the header cannot be read" in refusal(tmp_path / "a.dcm")
    write_dicom(tmp_path / "b.dcm", head(1))
    header = pydicom.dcmread(tmp_path / "b.dcm")
    header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    header.save_as(tmp_path / "b.dcm")
    (tmp_path / "b.dcm").write_bytes((tmp_path / "b.dcm").read_bytes()[:-200])
    assert "not readable as DICOM" in refusal(tmp_path / "b.dcm")


@pytest.mark.parametrize(
    ("at", "kind", "value", "words"),
    [
        (112, "<f", float("nan"), None),  # scl_slope NaN and 0: values as stored, as the standard says
        (112, "<f", 0.0, None),
        (116, "<f", float("nan"), "unreadable or truncated NIfTI"),
        (280, "<f", float("nan"), "NaN or infinite numbers in its affine"),
        (70, "<h", 9999, "unreadable or truncated NIfTI"),
        (42, "<h", -5, "pixels by its header"),
    ],
)
def test_odd_nifti_headers_are_read_as_the_standard_says_or_refused(tmp_path: Path, at, kind, value, words) -> None:
    write_nifti(tmp_path / "a.nii", np.round(VOLUME).astype(np.int16), affine())
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[112:120] = struct.pack("<ff", 1, 0)
    content[at : at + struct.calcsize(kind)] = struct.pack(kind, value)
    (tmp_path / "a.nii").write_bytes(content)
    if words is None:
        assert read(tmp_path / "a.nii", 3)[0].values.max() == VOLUME.max()
    else:
        assert words in refusal(tmp_path / "a.nii", 3)


@pytest.mark.parametrize("gaps", [[2.5] * 4 + [5] * 4, [4] * 3 + [5.5] + [7] * 3, [5] * 3 + [2.5] * 4])
def test_a_head_protocol_of_two_distances_is_read_and_resampled_in_3d(tmp_path: Path, gaps: list[float]) -> None:
    """C9: thin slices at the base, thick ones above; nothing is missing. Values linear in height stay exact."""
    heights = np.cumsum([0, *gaps])
    for at, height in enumerate(heights):
        write_dicom(tmp_path / "s" / f"{at}", np.where(head(1) > -500, 2 * height, -1000), z=float(height))
    pixels, notes = read_series(tmp_path / "s", "s")
    assert pixels.values.shape[2] == len(heights)
    assert notes == ["slices of unequal distance by protocol"]
    pixels, notes = read(tmp_path / "s", 3)
    assert "slices of unequal distance, resampled" in notes
    assert pixels.spacing[2] == min(gaps)
    wanted = 2 * min(gaps) * np.arange(pixels.values.shape[2])
    assert_allclose(pixels.values[20, 16], wanted, atol=1)


@pytest.mark.parametrize("gaps", [[5, 5, 10, 5, 5], [5, 5, 5, 10], [5, 10, 10, 5], [5, 5, 10, 10, 5, 5]])
def test_missing_slices_stay_a_refusal(tmp_path: Path, gaps: list[float]) -> None:
    for at, height in enumerate(np.cumsum([0, *gaps])):
        write_dicom(tmp_path / "s" / f"{at}", head(at), z=float(height))
    assert "slices are missing" in refusal(tmp_path / "s", 3)


def test_what_an_export_leaves_next_to_the_slices_is_set_aside_and_counted(tmp_path: Path) -> None:
    """C10."""
    write_series(tmp_path / "s")
    for name in ("._1.dcm", ".DS_Store", "Thumbs.db", "VERSION", "DIRFILE", "notes.txt"):
        (tmp_path / "s" / name).write_text("not a scan")
    write_dicom(tmp_path / "s" / "report.dcm", head(1), Modality="SR")
    pixels, notes = read_series(tmp_path / "s", "s")
    assert pixels.values.shape[2] == 4
    assert notes == ["images of other modalities, set aside", "files that are no DICOM, set aside"]
    (tmp_path / "s" / "cut.dcm").write_bytes(b"")
    assert "not readable as DICOM" in refusal(tmp_path / "s", 3)


@pytest.mark.parametrize(
    ("tags", "word"),
    [
        ({"ContrastBolusAgent": "OMNIPAQUE"}, "contrast agent"),
        ({"ConvolutionKernel": "BONEPLUS"}, "bone kernel"),
        ({"ConvolutionKernel": "H60s"}, "bone kernel"),
        ({"ConvolutionKernel": "Hr68f"}, "bone kernel"),
        ({"ConvolutionKernel": "FC30"}, "bone kernel"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MIP"]}, "derived images (MIP, MPR)"),
    ],
)
def test_other_kinds_of_slices_are_set_aside_next_to_plain_ones_and_noted_alone(tmp_path: Path, tags, word) -> None:
    """C14: plain and contrast slices interleaved in one series are two volumes."""
    for at in range(4):
        write_dicom(tmp_path / "s" / f"{at}", head(at), z=5.0 * at)
        write_dicom(tmp_path / "s" / f"{at}x", head(at + 10), z=5.0 * at, **tags)
        write_dicom(tmp_path / "only" / f"{at}x", head(at + 10), z=5.0 * at, **tags)
    pixels, notes = read_series(tmp_path / "s", "s")
    assert_array_equal(pixels.values[:, :, 2], np.round(head(2)))
    assert notes == [f"{word}: set aside next to plain slices"]
    assert read_series(tmp_path / "only", "only")[1] == [word]
    assert read_file(tmp_path / "only" / "1x", "1x")[1] == [word]


@pytest.mark.parametrize("kernel", ["STANDARD", "SOFT", "H30s", "Hr40f", "J40s", "FC21", "FC64", "UB", "B"])
def test_soft_kernels_are_plain(tmp_path: Path, kernel: str) -> None:
    write_dicom(tmp_path / "a", head(1), ConvolutionKernel=kernel, ContrastBolusAgent="NONE")
    assert read_file(tmp_path / "a", "a")[1] == []


def test_a_slice_that_is_there_twice_is_read_once(tmp_path: Path) -> None:
    write_series(tmp_path / "s")
    write_dicom(tmp_path / "s" / "again", head(2), z=10)
    pixels, notes = read_series(tmp_path / "s", "s")
    assert pixels.values.shape[2] == 4
    assert notes == ["slices that are there twice, read once"]


def enhanced(path: Path, slices: int = 4, **tags: object) -> None:
    """One file with frames, in the order from the highest to the lowest; geometry in functional groups only."""
    write_dicom(path, head(0), NumberOfFrames=slices, **tags)
    header = pydicom.dcmread(path)
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = pydicom.uid.EnhancedCTImageStorage

    def group(**items: object) -> pydicom.Dataset:
        found = pydicom.Dataset()
        for name, value in items.items():
            setattr(found, name, value)
        return found

    for key in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
        delattr(header, key)
    header.SharedFunctionalGroupsSequence = Sequence(
        [
            group(
                PixelMeasuresSequence=Sequence([group(PixelSpacing=[1, 1])]),
                PlaneOrientationSequence=Sequence([group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]),
                PixelValueTransformationSequence=Sequence([group(RescaleSlope=1, RescaleIntercept=-1024)]),
            )
        ]
    )
    order = list(reversed(range(slices)))
    places = [Sequence([group(ImagePositionPatient=[0, 0, 5.0 * at])]) for at in order]
    header.PerFrameFunctionalGroupsSequence = Sequence([group(PlanePositionSequence=each) for each in places])
    header.PixelData = b"".join((np.round(head(at)) + 1024).astype("<i2").tobytes() for at in order)
    header.save_as(path)


def test_a_file_of_frames_is_a_volume(tmp_path: Path) -> None:
    enhanced(tmp_path / "a.dcm")
    pixels, notes = read(tmp_path / "a.dcm", 3)
    assert_array_equal(pixels.values, np.round(np.stack([head(at) for at in range(4)], axis=2)))
    assert (pixels.spacing, notes) == ((1.0, 1.0, 5.0), [])
    enhanced(tmp_path / "a.dcm", ContrastBolusAgentSequence=Sequence([pydicom.Dataset()]))
    assert read(tmp_path / "a.dcm", 3)[1] == ["contrast agent"]
    header = pydicom.dcmread(tmp_path / "a.dcm")
    header.NumberOfFrames = 3
    header.save_as(tmp_path / "a.dcm")
    assert "3 frames, but places for 4" in refusal(tmp_path / "a.dcm", 3)


@pytest.mark.parametrize(
    ("name", "kind", "word"),
    [("a.tif", "TIFF", "a TIFF image"), ("a.bmp", "BMP", "a BMP image"), ("a.webp", "WEBP", "a WebP image")],
)
def test_other_formats_are_named_as_what_they_are(tmp_path: Path, name: str, kind: str, word: str) -> None:
    """C12, C11."""
    Image.fromarray(grey(1)).save(tmp_path / name, format=kind)
    assert refusal(tmp_path / name).endswith(f"{word}, wanted DICOM, NIfTI, PNG or JPEG: convert it, or leave it out")
    for folder in ("bleed", "normal"):
        write_png(tmp_path / "scans" / folder / "1.png", len(folder))
    (tmp_path / name).rename(tmp_path / "scans" / "bleed" / name)
    classes = {"kind": "class_folders", "classes": {"bleed": ["any"], "normal": []}}
    assert f"bleed/{name}: {word} in a class folder" in refused(tmp_path, **classes)


@pytest.mark.parametrize(("name", "word"), [("a.hdr", "an Analyze header"), ("a.mgz", "a FreeSurfer volume")])
def test_formats_without_a_mark_are_named_by_their_ending(tmp_path: Path, name: str, word: str) -> None:
    (tmp_path / name).write_bytes(b"\x5c\x01" + b"\0" * 200)
    assert word in refusal(tmp_path / name)


def test_class_folders_hold_pictures_nifti_dicom_and_series(tmp_path: Path) -> None:
    for folder, first in (("bleed", 0), ("normal", 20)):
        write_series(tmp_path / "scans" / folder / "study")
        for at in range(3):
            for path in sorted((tmp_path / "scans" / folder / "study").iterdir())[:4]:
                write_dicom(tmp_path / "scans" / folder / f"s{at}" / path.name, head(first + at), z=float(path.name[0]))
        write_nifti(
            tmp_path / "scans" / folder / "v.nii.gz", np.stack([head(first + 9)] * 4, 2), np.diag([1.0, 1, 5, 1])
        )
    classes = {"kind": "class_folders", "classes": {"bleed": ["any"], "normal": []}}
    data = opened(tmp_path, dims=3, **classes)
    assert sum(map(len, data.folds.values())) == 10
    write_png(tmp_path / "scans" / "bleed" / "study" / "1.png", 1)
    assert "bleed/study/1.png: in a sub-folder of a class folder" in refused(tmp_path, dims=3, **classes)


def test_brackets_in_a_pattern_are_letters(tmp_path: Path) -> None:
    """C11: `[` is no wildcard, so an image without a label is found."""
    for at in range(4):
        write_png(tmp_path / "scans" / "head[1]" / f"{at}.png", at)
    (tmp_path / "scans" / "labels.csv").write_text("id,any\n0,0\n1,1\n2,0\n")
    assert "1 image without a label in labels.csv: head[1]/3.png" in refused(
        tmp_path, kind="png_csv", images="head[1]/{id}.png"
    )


def test_two_names_of_one_image_are_one_image(tmp_path: Path) -> None:
    write_png(tmp_path / "scans" / "0.png", 0)
    manifest(tmp_path, "0.png,0,a", "./0.png,1,a")
    assert "rows 2 and 3 name the same image" in refused(tmp_path, kind="manifest")


def test_contradictions_are_said_or_refused(tmp_path: Path) -> None:
    for at in range(6):
        write_png(tmp_path / "scans" / f"{at}.png", at % 5)
    manifest(tmp_path, *[f"{at}.png,{int(at == 5)},p{at}" for at in range(6)])
    notes = opened(tmp_path, kind="manifest").notes
    assert "identical images with contradictory labels: 1: correct the labels" in notes
    five = "epidural,intraparenchymal,intraventricular,subarachnoid,subdural"
    manifest(tmp_path, "0.png,1,0,0,0,0,0,a", header=f"image,any,{five},patient_id")
    assert "row 2: `any` is 1 but all subtypes are 0" in refused(tmp_path, kind="manifest")


@pytest.mark.parametrize(
    ("column", "finding"),
    [("Subdural", 4), ("SDH", 4), ("IPH", 1), ("Epidural", 0), ("intra-ventricular", 2), ("SAH", 3), ("Hemorrhage", 5)],
)
def test_a_finding_is_known_by_its_usual_names(tmp_path: Path, column: str, finding: int) -> None:
    write_png(tmp_path / "scans" / "0.png", 0)
    manifest(tmp_path, "0.png,1,p", header=f"image,{column},patient_id")
    assert labels_of(opened(tmp_path, kind="manifest"))[0, finding] == 1


@pytest.mark.parametrize("column", ["subdurall", "epidual", "intraparenchimal", "hemmorhage"])
def test_a_misspelt_finding_is_refused_and_other_columns_are_not_used(tmp_path: Path, column: str) -> None:
    write_png(tmp_path / "scans" / "0.png", 0)
    manifest(tmp_path, "0.png,1,1,p,54", header=f"image,any,{column},patient_id,age")
    assert f"column `{column}` is no finding, but nearly" in refused(tmp_path, kind="manifest")
    manifest(tmp_path, "0.png,1,1,p,54", header="image,any,midline,patient_id,age")
    assert labels_of(opened(tmp_path, kind="manifest"))[0, 5] == 1


@pytest.mark.parametrize("mark", ["\t", ";"])
def test_tables_with_tabs_semicolons_and_empty_columns_are_read(tmp_path: Path, mark: str) -> None:
    """C13."""
    png_set(tmp_path)
    path = tmp_path / "scans" / "labels.csv"
    path.write_text(path.read_text().replace(",", mark))
    assert len(labels_of(opened(tmp_path, **PNG))) == 20
    path.write_text(path.read_text().replace("\n", f"{mark}{mark}\n"))
    assert len(labels_of(opened(tmp_path, **PNG))) == 20


@pytest.mark.parametrize(("disk", "table"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_an_accent_is_one_character_or_two(tmp_path: Path, disk: str, table: str) -> None:
    name = "schädel.png"
    for at in range(3):
        write_png(tmp_path / "scans" / unicodedata.normalize(disk, f"{at}{name}"), at)
    manifest(tmp_path, *[f"{unicodedata.normalize(table, f'{at}{name}')},{at % 2},p{at}" for at in range(3)])
    assert len(labels_of(opened(tmp_path, kind="manifest"))) == 3


def broken_site(folder: Path, broken: int = 2) -> None:
    png_set(folder)
    for at in range(broken):
        (folder / "scans" / "head_ct" / f"{at:03d}.png").write_bytes(b"\x89PNG not")


def test_all_unreadable_scans_are_named_at_once(tmp_path: Path) -> None:
    """C15."""
    broken_site(tmp_path)
    text = refused(tmp_path, **PNG)
    assert "2 of 20 scans cannot be read\n- head_ct/000.png: unreadable" in text
    assert "\n- head_ct/001.png: unreadable" in text


def test_unreadable_scans_are_left_out_up_to_a_share(tmp_path: Path) -> None:
    broken_site(tmp_path, broken=1)
    data = opened(tmp_path, **PNG, on_unreadable="skip")
    assert len(labels_of(data)) == 19
    assert "left out: 1 of 20 scans that cannot be read; `brainct data check` names them" in data.notes
    broken_site(tmp_path, broken=2)
    text = refused(tmp_path, **PNG, on_unreadable="skip")
    assert "more than `unreadable_share` 0.05 allows: 2 of 20 scans cannot be read" in text
    assert len(labels_of(opened(tmp_path, **PNG, on_unreadable="skip", unreadable_share=0.1))) == 18


def test_the_images_of_the_rest_stay_with_their_labels(tmp_path: Path) -> None:
    broken_site(tmp_path, broken=1)
    skipped = opened(tmp_path, **PNG, on_unreadable="skip", split={"train": 1, "valid": 0, "test": 0})
    (tmp_path / "scans" / "head_ct" / "000.png").unlink()
    lines(tmp_path, "\n0,1\n", "\n")
    without = opened(tmp_path, **PNG, split={"train": 1, "valid": 0, "test": 0})
    assert skipped.fingerprint == without.fingerprint
    assert_array_equal(skipped.folds["train"].inputs, without.folds["train"].inputs)


def test_a_folder_is_decoded_once_however_many_of_its_slices_are_rows(tmp_path: Path, monkeypatch) -> None:
    from brainct.ct.read import dicom

    write_series(tmp_path / "scans" / "s", slices=6)
    manifest(tmp_path, *[f"s,{at % 2},p,{at}" for at in range(6)], header="image,any,patient_id,slice")
    asked, real = [], dicom.read_series
    monkeypatch.setattr(dicom, "read_series", lambda folder, *more: asked.append(folder) or real(folder, *more))
    assert len(labels_of(opened(tmp_path, kind="manifest"))) == 6
    assert len(asked) == 1


def test_read_nifti_alone_keeps_its_hu(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", VOLUME, affine())
    pixels, notes = read_nifti(tmp_path / "a.nii", "a.nii")
    assert (pixels.values.shape, notes) == ((32, 40, 6), [])

"""Files that are none, that lead elsewhere, that change while they are read, and that become gigabytes."""

import csv
import gzip
import os
import socket
import subprocess
import sys
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from brainct.core.spreadsheet import FORMULA, spreadsheet_cell
from brainct.ct.read.dicom import read_file, read_series
from brainct.ct.read.image import read_image
from brainct.ct.read.label_table import read_table
from brainct.ct.read.nifti import read_nifti
from brainct.ct.site_config import read_site_file
from brainct.errors import Refused
from brainct.training import site_files
from tests.support.forged import (
    head,
    manifest,
    opened,
    png_set,
    refused,
    write_dicom,
    write_nifti,
    write_png,
    write_series,
)

VOLUME = np.random.default_rng(0).integers(-1000, 1000, (12, 10, 6)).astype(np.int16)


def refusal_of(read, *arguments) -> str:
    with pytest.raises(Refused) as refusal:
        read(*arguments)
    return str(refusal.value)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's name is at most 107 characters
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("suffix", [".png", ".dcm", ".nii", ".nii.gz", ".csv", ".yaml"])
@pytest.mark.parametrize(("make", "words"), [(pipe, "a named pipe"), (listening, "cannot be opened"), (Path.mkdir, "")])
def test_anything_but_a_plain_file_is_refused_by_name_without_blocking(tmp_path, suffix, make, words):
    path = tmp_path / f"scan{suffix}"
    make(path)
    readers = {".png": read_image, ".dcm": read_file, ".csv": read_table}
    asked = (read_site_file, path) if suffix == ".yaml" else (readers.get(suffix, read_nifti), path, path.name)
    found = refusal_of(*asked)
    assert found.startswith(f"{path.name}: {words or 'a folder'}")


def test_a_device_is_refused_as_a_scan(tmp_path):
    (tmp_path / "scan.dcm").symlink_to("/dev/zero")
    assert "is a link that leaves its folder" in refusal_of(read_file, tmp_path / "scan.dcm", "scan.dcm")
    assert refusal_of(site_files.open_file, Path("/dev/zero"), "zero") == "zero: a device, wanted a plain file"


def test_a_pipe_in_the_folder_of_a_series_is_named(tmp_path):
    write_series(tmp_path / "series")
    os.mkfifo(tmp_path / "series" / "5.dcm")
    assert refusal_of(read_series, tmp_path / "series", "series") == "series/5.dcm: a named pipe, wanted a plain file"


def test_a_link_in_a_series_that_leaves_root_is_refused(tmp_path):
    write_series(tmp_path / "scans" / "series", slices=3)
    write_dicom(tmp_path / "elsewhere.dcm", head(9), z=15)
    (tmp_path / "scans" / "series" / "9.dcm").symlink_to(tmp_path / "elsewhere.dcm")
    manifest(tmp_path, "series,1,a")
    assert "series/9.dcm: is a link that leaves its folder" in refused(tmp_path, kind="manifest", dims=3)


def test_a_link_within_root_and_a_root_that_is_a_link_are_followed(tmp_path):
    """DataLad stores data sets this way, and hospitals mount them this way."""
    png_set(tmp_path / "disk")
    scans = tmp_path / "disk" / "scans"
    (scans / "store").mkdir()
    for picture in sorted((scans / "head_ct").iterdir()):
        picture.rename(scans / "store" / picture.name)
        picture.symlink_to(Path("..") / "store" / picture.name)
    (tmp_path / "scans").symlink_to(scans)
    data = opened(tmp_path, kind="png_csv", images="head_ct/{id:03d}.png", columns={"any": "hemorrhage"})
    assert sum(len(fold) for fold in data.folds.values()) == 20


@pytest.mark.parametrize("swapped", ["file", "folder"])
def test_a_file_or_folder_that_becomes_a_link_between_check_and_opening_is_refused(tmp_path, monkeypatch, swapped):
    write_png(tmp_path / "root" / "ward" / "a.png", 1)
    write_png(tmp_path / "secret" / "a.png", 2)
    real = os.open

    def after_a_swap(path, flags, *more, **choices):
        if path == ("a.png" if swapped == "file" else "ward"):
            at = tmp_path / "root" / "ward"
            at.rename(tmp_path / "old")
            if swapped == "file":
                at.mkdir()
                (at / "a.png").symlink_to(tmp_path / "secret" / "a.png")
                at = real(at, os.O_RDONLY)
                choices = {"dir_fd": at}
            else:
                at.symlink_to(tmp_path / "secret")
        return real(path, flags, *more, **choices)

    assert read_image(tmp_path / "root" / "ward" / "a.png", "a.png", tmp_path / "root").values.any()
    monkeypatch.setattr(os, "open", after_a_swap)
    found = refusal_of(read_image, tmp_path / "root" / "ward" / "a.png", "ward/a.png", tmp_path / "root")
    assert found.startswith("ward/a.png: cannot be opened (")


def test_a_circular_link_is_refused(tmp_path):
    (tmp_path / "a.png").symlink_to("b.png")
    (tmp_path / "b.png").symlink_to("a.png")
    assert refusal_of(read_image, tmp_path / "a.png", "a.png").startswith("a.png: ")


def test_the_site_file_may_be_a_link_and_is_limited_in_size(tmp_path):
    """Kubernetes mounts each file of a ConfigMap as one."""
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted" / "brainct.yaml").write_text("kind: phantom\n")
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "brainct.yaml").symlink_to(tmp_path / "mounted" / "brainct.yaml")
    assert read_site_file(tmp_path / "kit" / "brainct.yaml").kind == "phantom"
    (tmp_path / "brainct.yaml").write_text("kind: phantom\n" + "#" * 100_000)
    assert "brainct.yaml: 100,014 bytes, wanted at most 65,536 bytes" in refusal_of(
        read_site_file, tmp_path / "brainct.yaml"
    )


def test_a_table_of_absurd_size_is_refused(tmp_path, monkeypatch):
    with (tmp_path / "a.csv").open("wb") as file:
        file.truncate(2**30)
    assert "a.csv: 1,024.0 MiB, wanted at most 128.0 MiB" in refusal_of(read_table, tmp_path / "a.csv", "a.csv")
    monkeypatch.setattr("brainct.ct.read.label_table.MOST_CELLS", 100)
    (tmp_path / "b.csv").write_text("id,any\n" + "".join(f"{at},1\n" for at in range(60)))
    assert "b.csv: more than 100 cells" in refusal_of(read_table, tmp_path / "b.csv", "b.csv")


# Each bomb: its name, what makes it from a path, and a word of the refusal.


def png_bomb(path: Path) -> None:
    Image.new("RGBA", (13_000, 13_000)).save(path)


def nifti_bomb(path: Path) -> None:
    header = nib.Nifti1Header()
    header.set_data_shape((2048, 2048, 1024))
    header.set_data_dtype(np.int16)
    _packed(path, header.binaryblock + bytes(4), 2**31)


def longer_nifti(path: Path) -> None:
    """Its header is small and says so; what follows is not."""
    nib.save(nib.Nifti1Image(VOLUME, np.eye(4)), path.with_name("small.nii"))
    _packed(path, path.with_name("small.nii").read_bytes(), 2**31)


def _packed(path: Path, start: bytes, zeros: int) -> None:
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(start)
        for _ in range(zeros >> 24):
            file.write(bytes(2**24))


def _header(path: Path, syntax: str, rows: int, columns: int) -> pydicom.Dataset:
    write_dicom(path, head(1))
    header = pydicom.dcmread(path)
    header.file_meta.TransferSyntaxUID = syntax
    header.Rows, header.Columns = rows, columns
    return header


def deflate_bomb(path: Path) -> None:
    header = _header(path, DeflatedExplicitVRLittleEndian, 17_000, 17_000)
    header.PixelData = b""
    header.save_as(path, enforce_file_format=True)
    content = path.read_bytes()
    start = 132 + 12 + int.from_bytes(content[140:144], "little")
    plain = zlib.decompress(content[start:], -15)[:-12]
    packer = zlib.compressobj(1, wbits=-15)
    with path.open("wb") as file:
        size = 17_000 * 17_000 * 2
        file.write(content[:start] + packer.compress(plain + b"\xe0\x7f\x10\x00OW\0\0" + size.to_bytes(4, "little")))
        for at in range(0, size, 2**24):
            file.write(packer.compress(bytes(min(2**24, size - at))))
        file.write(packer.flush())


def rle_bomb(path: Path) -> None:
    """Its header says 16,000 x 16,000 pixels."""
    _rle(path, 16_000, 16_000, 2**22)


def quiet_rle_bomb(path: Path) -> None:
    """Its header says 40 x 32 pixels; its runs become half a gigabyte in each of two segments."""
    _rle(path, 40, 32, 2**23)


def _rle(path: Path, rows: int, columns: int, each: int) -> None:
    header = _header(path, RLELossless, rows, columns)
    offsets = [2, 64, 64 + each, *[0] * 13]
    frame = b"".join(each.to_bytes(4, "little") for each in offsets) + b"\x81\x00" * each
    header.PixelData = encapsulate([frame])
    header["PixelData"].VR = "OB"
    header.save_as(path, enforce_file_format=True)


def jpeg_bomb(path: Path) -> None:
    """The DICOM header says 40 x 32 pixels, the JPEG picture in it 13,000 x 13,000."""
    Image.new("L", (13_000, 13_000)).save(path.with_name("a.jpg"))
    _wrapped(path, path.with_name("a.jpg").read_bytes(), JPEGBaseline8Bit)


def jpeg2000_bomb(path: Path) -> None:
    start = bytes.fromhex("ff4fff510029 0000") + (13_000).to_bytes(4, "big") * 2
    _wrapped(path, start + bytes(64), JPEG2000Lossless)


def _wrapped(path: Path, frame: bytes, syntax: str) -> None:
    header = _header(path, syntax, 40, 32)
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 8, 8, 7, 0
    header.PixelData = encapsulate([frame])
    header["PixelData"].VR = "OB"
    header.save_as(path, enforce_file_format=True)


BOMBS = {
    "a.png": (png_bomb, "169,000,000 pixels by its header, wanted at most 16,777,216"),
    "a.nii.gz": (nifti_bomb, "4,294,967,296 pixels by its header, wanted at most 268,435,456"),
    "b.nii.gz": (longer_nifti, "decompresses to more than its header says"),
    "deflated.dcm": (deflate_bomb, "inflates to more than 256 MiB"),
    "runs.dcm": (rle_bomb, "256,000,000 pixels by its header"),
    "quiet.dcm": (quiet_rle_bomb, "16,777,280 bytes of run lengths, wanted at most 8,388,608"),
    "jpeg.dcm": (jpeg_bomb, "169,000,000 pixels by its header"),
    "jpeg2000.dcm": (jpeg2000_bomb, "169,000,000 pixels by its header"),
}
CHILD = """
import re, resource, sys
from pathlib import Path
import numpy as np
from brainct.ct.read import dicom, nifti
from brainct.ct.read.decode import decode
from brainct.ct.read.listing import ScanEntry
from brainct.errors import Refused
size = int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
resource.setrlimit(resource.RLIMIT_AS, (size + 2**30, size + 2**30))
path = Path(sys.argv[1])
try:
    decode(ScanEntry(path.name, path, np.full(6, np.nan, np.float32)), 3 if ".nii" in path.name else 2)
except Refused as refusal:
    print(refusal)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_a_decompression_bomb_is_refused_before_decoding_within_a_gibibyte(tmp_path, name):
    make, words = BOMBS[name]
    make(tmp_path / name)
    ran = subprocess.run([sys.executable, "-c", CHILD, tmp_path / name], capture_output=True, text=True, timeout=120)
    *lines, peak = ran.stdout.splitlines()
    assert lines, ran.stderr
    assert lines[0].startswith(f"{name}: ")
    assert words in lines[0]
    assert int(peak) < 600, f"{peak} MiB"


@pytest.mark.parametrize("name", ["quiet.dcm", "jpeg2000.dcm"])
def test_more_pixels_than_the_header_states_are_refused(tmp_path, name):
    make, words = BOMBS[name]
    make(tmp_path / name)
    assert words in refusal_of(read_file, tmp_path / name, name)


def test_a_slice_and_a_volume_are_read_up_to_their_limits_and_not_beyond(tmp_path, monkeypatch):
    write_png(tmp_path / "a.png", 1)
    write_dicom(tmp_path / "a.dcm", head(1))
    write_nifti(tmp_path / "a.nii", VOLUME)
    write_nifti(tmp_path / "b.nii.gz", VOLUME)
    readers = {"a.png": read_image, "a.dcm": read_file, "a.nii": read_nifti, "b.nii.gz": read_nifti}
    for less in (0, 1):
        for module in ("dicom", "image", "nifti"):
            kind, pixels = ("VOLUME", VOLUME.size) if module == "nifti" else ("SLICE", 40 * 32)
            monkeypatch.setattr(f"brainct.ct.read.{module}.{kind}", pixels - less)
        for name, read in readers.items():
            if less:
                assert "pixels by its header, wanted at most" in refusal_of(read, tmp_path / name, name)
            else:
                read(tmp_path / name, name)


def test_a_deflated_file_holds_the_same_hu_as_a_plain_one(tmp_path):
    write_dicom(tmp_path / "a.dcm", head(1))
    header = pydicom.dcmread(tmp_path / "a.dcm")
    header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    header.save_as(tmp_path / "b.dcm", enforce_file_format=True)
    assert (tmp_path / "b.dcm").stat().st_size < (tmp_path / "a.dcm").stat().st_size
    assert_array_equal(read_file(tmp_path / "b.dcm", "b")[0].values, read_file(tmp_path / "a.dcm", "a")[0].values)
    whole = (tmp_path / "b.dcm").read_bytes()
    (tmp_path / "b.dcm").write_bytes(whole[:-200])
    assert "b.dcm: not readable as DICOM (EOFError)" in refusal_of(read_file, tmp_path / "b.dcm", "b.dcm")


def test_run_length_encoded_slices_are_read(tmp_path):
    write_dicom(tmp_path / "a.dcm", head(1))
    header = pydicom.dcmread(tmp_path / "a.dcm")
    header.compress(RLELossless)
    header.save_as(tmp_path / "b.dcm", enforce_file_format=True)
    assert_array_equal(read_file(tmp_path / "b.dcm", "b")[0].values, read_file(tmp_path / "a.dcm", "a")[0].values)


def test_one_changed_byte_of_a_compressed_volume_is_noticed(tmp_path):
    """Of its 40 places some lie in the packer's own header, such as its clock: there the voxels are the same."""
    path, rng = tmp_path / "a.nii.gz", np.random.default_rng(1)
    write_nifti(path, np.stack([head(at) for at in range(8)], 2).astype(np.int16))
    good, whole = read_nifti(path, "a.nii.gz")[0].values, path.read_bytes()
    found = []
    for at in rng.integers(10, len(whole), 40).tolist():
        changed = bytearray(whole)
        changed[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(changed))
        found.append(values_or_refusal(read_nifti, path, "a.nii.gz"))
    refusals = [each for each in found if isinstance(each, str)]
    assert all(each.startswith("a.nii.gz: ") for each in refusals)
    assert len(refusals) >= 38
    assert all(np.array_equal(each, good) for each in found if not isinstance(each, str))


def values_or_refusal(read, *arguments):
    """The values, or the sentence of a refusal; every other exception is raised."""
    try:
        found = read(*arguments)
    except Refused as refusal:
        return str(refusal)
    return (found[0] if isinstance(found, tuple) else found).values


def test_a_damaged_dicom_header_always_ends_in_a_refusal(tmp_path):
    path, rng = tmp_path / "a.dcm", np.random.default_rng(2)
    write_dicom(path, head(1))
    whole = path.read_bytes()
    for _ in range(150):
        changed = bytearray(whole)
        for at in rng.integers(128, 900, 3).tolist():
            changed[at] = int(rng.integers(256))
        path.write_bytes(bytes(changed[: int(rng.integers(600, len(whole) + 1))]))
        found = values_or_refusal(read_file, path, "ward/a.dcm")
        assert not isinstance(found, str) or found.startswith("ward/a.dcm: ")


@pytest.mark.parametrize("text", [f"{sign}HYPERLINK(1)" for sign in FORMULA] + ["  =1+1", "\u3000=1", "\ufeff=1"])
def test_a_cell_that_a_spreadsheet_would_compute_is_written_as_text(text):
    assert spreadsheet_cell(text)[0] == "'"
    assert spreadsheet_cell(text)[1:] == text
    assert spreadsheet_cell("scans/a.png") == "scans/a.png"
    assert spreadsheet_cell("a=1") == "a=1"
    assert list(csv.reader([spreadsheet_cell("a,b")])) == [["a", "b"]]

"""Compressed DICOM headers and pixels: their size is checked before they are decompressed."""

import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import pydicom
from pydicom.encaps import generate_frames
from pydicom.filereader import read_dataset, read_preamble
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless

from brainct.ct.read.pixel_limits import SLICE, SLICE_FILE, check_pixel_count
from brainct.errors import Refused

RUNS = 2**23
"""Most bytes of one run-length encoded slice; each byte can become 64."""
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""JPEG markers that give the size of the image."""


def read_header(file: BinaryIO, name: str) -> pydicom.Dataset:
    """The elements of a DICOM file; a deflated file is inflated to at most the size of a plain one."""
    read_preamble(file, False)
    meta = read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        file.seek(0)
        return pydicom.dcmread(file)
    header = read_dataset(io.BytesIO(_inflated(file, name)), False, True)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta = pydicom.dataset.FileMetaDataset(meta)
    return header


def _inflated(file: BinaryIO, name: str) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    found = inflater.decompress(file.read(), SLICE_FILE + 1)
    if len(found) > SLICE_FILE:
        raise Refused(f"{name}: inflates to more than {SLICE_FILE / 2**20:,.0f} MiB: is it the right file?")
    if not inflater.eof:
        raise EOFError
    return found


def check_compressed(header: pydicom.Dataset, name: str) -> None:
    """Refuse pixels that decompress to more than a slice, even if the header gives fewer."""
    if not header.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    for frame in generate_frames(header.PixelData, number_of_frames=int(header.get("NumberOfFrames") or 1)):
        if header.file_meta.TransferSyntaxUID != RLELossless:
            check_pixel_count(_stated_pixels(frame), SLICE, name)
        elif len(frame) > RUNS:
            raise Refused(
                f"{name}: {len(frame):,} bytes of run lengths, wanted at most {RUNS:,}: is it the right file?"
            )


def _stated_pixels(frame: bytes) -> int:
    """The number of pixels that a JPEG or JPEG 2000 stream states; 1 if it states none."""
    if frame[:2] == b"\xff\xd8":
        return next((_area(part[3:5], part[1:3]) for mark, part in _parts(frame) if mark in _FRAMES), 1)
    at = frame.find(b"\xff\x4f\xff\x51")
    return 1 if at < 0 else _area(frame[at + 8 : at + 12], frame[at + 12 : at + 16])


def _area(width: bytes, height: bytes) -> int:
    return int.from_bytes(width, "big") * int.from_bytes(height, "big")


def _parts(frame: bytes) -> Iterator[tuple[int, bytes]]:
    """The markers of a JPEG stream up to its first scan, each with its payload."""
    at = 2
    while at + 4 <= len(frame) and frame[at] == 0xFF and frame[at + 1] != 0xDA:
        length = int.from_bytes(frame[at + 2 : at + 4], "big")
        yield frame[at + 1], frame[at + 4 : at + 2 + length]
        at += 2 + max(length, 2) if frame[at + 1] != 0xFF else 1

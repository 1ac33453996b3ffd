"""The headers of every DICOM file in a folder tree, without pixels, grouped by series."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.config import disable_value_validation

from brainct.ct.read import slices
from brainct.ct.read.file_kinds import is_companion
from brainct.ct.read.frames import frame_headers
from brainct.ct.scan_progress import with_bar
from brainct.errors import Refused
from brainct.training.site_files import decoding, open_file

TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "AccessionNumber"),
    *("SeriesDescription", "StudyDescription", "SeriesNumber", "Modality", "ImageType", "BodyPartExamined"),
    *("ConvolutionKernel", "ContrastBolusAgent", "ContrastBolusAgentSequence", "BurnedInAnnotation", "Rows", "Columns"),
    *("SliceThickness", "ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "NumberOfFrames"),
    *("GantryDetectorTilt", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "InstanceNumber"),
)


@dataclass(frozen=True)
class SliceHeader:
    """What the header of one file says. name: path relative to root. place: x, y, z of the first pixel, if stated.

    orientation: six direction cosines, if stated. kind: `slices`' words for what is no plain axial slice.
    """

    name: str
    path: Path
    image: str
    series: str
    study: str
    patient: str
    accession: str
    modality: str
    description: str
    body_part: str
    kernel: str
    number: int
    frames: int
    thickness: float | None
    orientation: tuple[float, ...] | None
    place: tuple[float, ...] | None
    pixels: tuple[object, ...]
    kinds: frozenset[str]

    @property
    def height(self) -> float:
        """mm along the normal of the slice; 0 if the header has no geometry."""
        if self.orientation is None or self.place is None:
            return 0.0
        normal = np.cross(self.orientation[:3], self.orientation[3:])
        return float(np.dot(normal if normal[2] > 0 else -normal, self.place))


@dataclass(frozen=True)
class TreeHeaders:
    """All DICOM files of a tree, in the order of their names; how many other files; and why files are unreadable."""

    headers: tuple[SliceHeader, ...]
    set_aside: int
    unreadable: dict[str, str]


def tree_headers(root: Path, cache: Path | None = None) -> TreeHeaders:
    """Read the headers of every DICOM file below root; DICOMDIR and what is no DICOM are set aside and counted.

    cache: a folder for what was read before.
    """
    from brainct.ct.read.header_cache import load_headers, save_headers, state_of

    known, now = load_headers(cache, root), {}
    paths = [Path(folder) / name for folder, _, names in os.walk(root) for name in names]
    found, counts, unreadable = [], Counter[str](), {}
    for path in with_bar(sorted(paths), len(paths), "headers"):
        name = path.relative_to(root).as_posix()
        try:
            state = state_of(path)
            same = name in known and known[name][0] == state
            header = known[name][1] if same else None if is_companion(path) else _header(path, name, root)
        except Refused as refusal:
            unreadable[name] = str(refusal)
            continue
        now[name] = (state, header)
        counts["other"] += header is None
        found += [] if header is None else [header]
    if now != known:
        save_headers(cache, root, now)
    return TreeHeaders(tuple(found), counts["other"], unreadable)


def _header(path: Path, name: str, root: Path) -> SliceHeader | None:
    with (
        open_file(path, name, root) as file,
        disable_value_validation(),
        decoding(name, "not readable as DICOM"),
    ):
        first = file.read(132)
        if first and first[128:] != b"DICM":
            return None
        file.seek(0)
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(TAGS))
    with (
        disable_value_validation(),
        decoding(name, *slices.ODD_ELEMENT),
    ):
        return _summary(header, name, path)


def _summary(whole: pydicom.Dataset, name: str, path: Path) -> SliceHeader:
    frames = frame_headers(whole, name)
    header = frames[0]
    kernel = header.get("ConvolutionKernel") or ""
    kernel = kernel if isinstance(kernel, str) else "/".join(map(str, kernel))

    def text(key: str) -> str:
        return str(header.get(key) or "").strip()

    return SliceHeader(
        name=name,
        path=path,
        image=text("SOPInstanceUID"),
        series=text("SeriesInstanceUID"),
        study=text("StudyInstanceUID"),
        patient=text("PatientID"),
        accession=text("AccessionNumber"),
        modality=text("Modality"),
        description=text("SeriesDescription"),
        body_part=text("BodyPartExamined").upper(),
        kernel=kernel,
        number=int(text("SeriesNumber") or 0),
        frames=len(frames),
        thickness=next(iter(_numbers(header, "SliceThickness", 1) or ()), None),
        orientation=_numbers(header, "ImageOrientationPatient", 6),
        place=_numbers(header, "ImagePositionPatient", 3),
        pixels=(header.get("Rows"), header.get("Columns"), _numbers(header, "PixelSpacing", 2)),
        kinds=frozenset(_kinds(header)),
    )


def _numbers(header: pydicom.Dataset, key: str, count: int) -> tuple[float, ...] | None:
    try:
        return tuple(slices.numbers(header, key, count, "").tolist())
    except Refused:
        return None


def _kinds(header: pydicom.Dataset) -> Iterator[str]:
    kinds = slices.image_type(header)
    if slices.is_scout(header):
        yield "scout"
    if "SECONDARY" in kinds or header.get("SOPClassUID") == "1.2.840.10008.5.1.4.1.1.7":
        yield "secondary"
    if slices.derived(header):
        yield "derived"
    if slices.contrast_agent(header):
        yield "contrast"
    if slices.sharp_kernel(header):
        yield "bone"
    if str(header.get("BurnedInAnnotation", "")).strip().upper() == "YES":
        yield "burnt-in"

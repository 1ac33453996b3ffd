"""Enhanced multi-frame CT: one flat header for each frame, out of its functional groups."""

import pydicom
from pydicom.tag import Tag

from brainct.ct.read.pixel_limits import VOLUME, check_pixel_count
from brainct.errors import Refused

MOST_FRAMES = 4096
_LARGE = {Tag(each) for each in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence", "PixelData")}


def frame_headers(header: pydicom.Dataset, name: str) -> list[pydicom.Dataset]:
    """A header for each frame of a file, `header` itself for a file of one; Refused for frames without geometry.

    A frame's header has the elements of the file, and over them those of its shared and its own functional groups,
    as if the frame were a file of its own (PS3.3 C.7.6.16).
    """
    count = int(header.get("NumberOfFrames") or 1)
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if groups is None:
        if count > 1:
            raise Refused(f"{name}: {count} frames in one file, without their places: convert it to one file a slice")
        return [header]
    if not 0 < count == len(groups) <= MOST_FRAMES:
        raise Refused(f"{name}: {count} frames, but places for {len(groups)}: export the original series again")
    check_pixel_count(count * int(header.Rows) * int(header.Columns), VOLUME, name)
    shared = (header.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0]
    plain = pydicom.Dataset({tag: element for tag, element in header.items() if tag not in _LARGE})
    return [_flat(plain, shared, own) for own in groups]


def _flat(plain: pydicom.Dataset, *groups: pydicom.Dataset) -> pydicom.Dataset:
    flat = pydicom.Dataset(dict(plain.items()))
    for group in groups:
        for element in group:
            if element.VR == "SQ" and len(element.value) == 1:
                flat.update(element.value[0])
    if "FrameType" in flat:
        flat.ImageType = flat.FrameType
    return flat

"""The DICOM series behind a study, as objects that refer to it need it, and codes for findings and the algorithm."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pydicom

from brainct.core.version import VERSION
from brainct.deliver.finished_model import FinishedModel
from brainct.deliver.study import Study
from brainct.errors import Refused

MAKER = "brainct"
EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate"),
    *("StudyTime", "ReferringPhysicianName"),
)
"""Elements that may be empty in DICOM but not missing; some exports leave them out."""

SNOMED = {"any": ("1386000", "Intracranial hemorrhage")}
"""Findings whose SNOMED CT code is in DICOM's own context groups; others get a private code, which nobody misreads."""


def headers_of(study: Study) -> list[pydicom.Dataset]:
    """The headers of the study's slices from the lowest up, one for each slice; Refused for a NIfTI or frames."""
    if not study.files:
        raise Refused(f"{study.name}: a DICOM object refers to a DICOM series; this study is none")
    found: list[pydicom.Dataset] = [pydicom.dcmread(path, stop_before_pixels=True) for path in study.files]
    headers = [each for each in found if "ImagePositionPatient" in each and "ImageOrientationPatient" in each]
    height = {id(each): _height(each) for each in headers}
    kept: list[pydicom.Dataset] = []
    for each in sorted(headers, key=lambda each: height[id(each)]):
        if not kept or height[id(each)] - height[id(kept[-1])] >= 0.01:
            kept.append(each)
    if len(kept) != study.slices:
        raise Refused(
            f"{study.name}: the series has {len(kept)} single slices and the model read {study.slices}; a DICOM object "
            "needs one file a slice, not frames or resampled slices"
        )
    for each in kept:
        for name in EMPTY:
            if name not in each:
                setattr(each, name, "")
    return kept


def _height(header: pydicom.Dataset) -> float:
    row, column = np.split(np.array(header.ImageOrientationPatient, float), 2)
    normal = np.cross(row, column)
    return float(np.dot(normal if normal[2] > 0 else -normal, np.array(header.ImagePositionPatient, float)))


def flips(header: pydicom.Dataset) -> tuple[bool, bool]:
    """Whether the reader turned rows and columns so that the head is upright."""
    place = np.array(header.ImageOrientationPatient, float)
    return bool(place[4] < 0), bool(place[0] < 0)


def code_of(finding: str) -> Any:
    """The coded concept of a finding."""
    from highdicom.sr.coding import CodedConcept

    if finding in SNOMED:
        value, meaning = SNOMED[finding]
        return CodedConcept(value, "SCT", meaning)
    word = "".join(letter if letter.isalnum() else "_" for letter in finding).upper()
    return CodedConcept(word[:16], "99BRAINCT", finding)


def algorithm(model: FinishedModel, family: Any) -> Any:
    """Who made the object: the package's version, the scheme and the model's hash."""
    import highdicom

    return highdicom.AlgorithmIdentificationSequence(
        name=f"{MAKER} {model.choices.network.architecture}"[:64],
        version=VERSION,
        family=family,
        parameters={"model_sha256": model.sha256, "scheme": model.plan.scheme},
    )


def series_facts(headers: Sequence[pydicom.Dataset]) -> dict[str, Any]:
    """Of a new object next to the series: its own identifiers, a free series number, the maker."""
    from pydicom.uid import generate_uid

    return {
        "series_instance_uid": generate_uid(),
        "sop_instance_uid": generate_uid(),
        "series_number": 100 + int(headers[0].get("SeriesNumber") or 0),
        "instance_number": 1,
        "manufacturer": MAKER,
    }

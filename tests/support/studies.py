"""DICOM studies of phantom heads, as a scanner writes them, nobody's."""

import functools
from pathlib import Path

import numpy as np
from pydicom.uid import generate_uid

from brainct.ct.phantom.studies import SLICE_MM, studies
from brainct.ct.site_choices import PhantomChoices
from tests.support.forged import write_dicom


@functools.cache
def phantom_head(seed: int, slices: int, edge: int) -> np.ndarray:
    """HU (edge, edge, slices) of a head that bleeds."""
    chosen = PhantomChoices(scans=1, seed=seed, prevalence=1.0)
    return studies("hospital-a", chosen, edge, slices)[0][0]


def write_study(
    folder: Path, seed: int = 0, slices: int = 5, edge: int = 48, pixel_mm: float = 4.0, **tags: object
) -> Path:
    """One series of axial slices with all that a CT image must say, file names in no order."""
    hu = phantom_head(seed, slices, edge)[6:-2]
    study, series = (generate_uid(entropy_srcs=[str(seed), word]) for word in ("study", "series"))
    for at in range(slices):
        place = [-90.0, -80.0, at * SLICE_MM]
        header = {
            "PatientID": f"p{seed}", "PatientName": "Phantom^Head", "PatientBirthDate": "", "PatientSex": "",
            "StudyInstanceUID": study, "SeriesInstanceUID": series,
            "FrameOfReferenceUID": generate_uid(entropy_srcs=[series]),
            "StudyID": "1", "StudyDate": "20250102", "StudyTime": "101500", "AccessionNumber": f"a{seed}",
            "ReferringPhysicianName": "", "SeriesNumber": 2, "InstanceNumber": at + 1, "SliceThickness": SLICE_MM,
            "Manufacturer": "phantom", "BodyPartExamined": "HEAD", "SeriesDescription": "brain plain",
            "ImagePositionPatient": place, "PixelSpacing": [pixel_mm, pixel_mm], "PositionReferenceIndicator": "",
            "RescaleType": "HU", "KVP": 120, "AcquisitionNumber": 1,
        }  # fmt: skip
        write_dicom(folder / f"i{(at * 7) % slices}-{at}.dcm", hu[..., at], **(header | tags))
    return folder

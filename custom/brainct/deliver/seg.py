"""Masks of a study as DICOM SEG on the slices of its own series, a segment for each finding."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainct.deliver.answer import Answer
from brainct.deliver.finished_model import FinishedModel
from brainct.deliver.scan_grid import marked_on_scan
from brainct.deliver.source_series import algorithm, code_of, flips, headers_of, series_facts
from brainct.deliver.study import Study
from brainct.errors import Refused

Masks = NDArray[np.uint8]


def write_seg(path: Path, model: FinishedModel, study: Study, answer: Answer) -> None:
    """A binary SEG; Refused for a model that gives no masks."""
    import highdicom
    from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
    from pydicom.sr.codedict import codes

    if not model.masks:
        raise Refused(f"{model.file.name} gives no masks; DICOM SEG is for models of workload segment, SR for this one")
    headers = headers_of(study)
    described = [
        SegmentDescription(
            segment_number=number,
            segment_label=finding,
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=code_of(finding),
            algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm(model, codes.DCM.ArtificialIntelligence),
        )
        for number, finding in enumerate(model.findings, 1)
    ]
    made = Segmentation(
        source_images=headers,
        pixel_array=masks_on_series(model, study, answer),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=described,
        manufacturer_model_name="brainct",
        software_versions=highdicom.__version__,
        device_serial_number=model.sha256[:16],
        series_description="brainct, research only",
        **series_facts(headers),
    )
    made.save_as(path, enforce_file_format=True)


def masks_on_series(model: FinishedModel, study: Study, answer: Answer) -> Masks:
    """(D, H, W, F) of 0 and 1 in the rows and columns of the files, slices from the lowest up."""
    marked = np.moveaxis(marked_on_scan(model, study, answer.each), (0, 3), (3, 0)).astype(np.uint8)
    rows, columns = flips(headers_of(study)[0])
    marked = marked[:, ::-1] if rows else marked
    return np.ascontiguousarray(marked[:, :, ::-1] if columns else marked)

"""The site file of segmentation: the phantom, or a table of scans and masks; other keys are those of head CT."""

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from brainct.core.sentences import sentences
from brainct.ct.folds import WINDOWS, Finding
from brainct.ct.site_choices import PhantomChoices, SampleCount, SiteChoices, Split
from brainct.errors import Refused
from brainct.training.site_yaml import read_yaml

Value = Annotated[int, Field(ge=1, le=2**15)]


class SegmentFile(SiteChoices):
    """One site's choices.

    kind: `phantom` or `masks`. root: the folder of the scans. labels: a CSV in it with the columns `image`, `mask` (a
    NIfTI of label values, or a DICOM SEG of its series) and `patient_id`, and for a network on slices `slice`.
    mask_values: what each value, or number of a segment, marks; a finding that none marks is unknown here.
    """

    kind: Literal["phantom", "masks"]
    root: Path | None = None
    labels: str = "labels.csv"
    mask_values: dict[Value, Finding] = {}
    windows: tuple[tuple[float, float], ...] = WINDOWS
    fov_mm: Annotated[float, Field(gt=0)] | None = None
    split: Split = Split()
    batch_size: SampleCount = 8
    device: str = "auto"
    phantom: PhantomChoices = PhantomChoices()

    @model_validator(mode="after")
    def _consistent(self) -> "SegmentFile":
        if (self.kind == "masks") != (self.root is not None and bool(self.mask_values)):
            raise ValueError("`root` and `mask_values` are needed by kind masks, and read by no other kind")
        return self


def read_site_file(path: Path | None) -> SegmentFile:
    """The validated site file with an absolute root; without one the phantom."""
    if path is None:
        return SegmentFile(kind="phantom")
    given = read_yaml(path)
    if isinstance(given.get("root"), str):
        given = {**given, "root": str(path.resolve().parent / given["root"])}
    try:
        return SegmentFile.model_validate_json(json.dumps(given, default=str))
    except ValidationError as error:
        raise Refused(f"{path.name}: {sentences(error)}") from None

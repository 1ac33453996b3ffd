"""The site file of segmentation: the phantom, or scans with masks; other keys are those of head CT."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationError, model_validator

from brainct.core.sentences import sentences
from brainct.ct.folds import Finding
from brainct.ct.site_choices import ScanChoices
from brainct.ct.site_config import absolute_paths
from brainct.errors import Refused
from brainct.training.site_yaml import read_yaml

Value = Annotated[int, Field(ge=1, lt=2**15)]
ON_DISK = ("masks", "mask_table")


class SegmentFile(ScanChoices):
    """One site's choices; what other site files of scans have too is in ScanChoices.

    kind: `phantom`; `masks`, volumes and masks by their id, as head CT reads them; or `mask_table`. images, masks:
    where a volume and its mask lie, such as data/{id}.nii.gz. labels: of a mask_table, a CSV with the columns `image`,
    `mask` (a NIfTI of label values, or a DICOM SEG of its series) and `patient_id`, and for a network on slices
    `slice`. mask_values: what each value, or number of a segment, marks; a finding that none marks is unknown here.
    """

    kinds_of_key: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "labels": ("mask_table",),
        "allow_missing": ("masks",),
        **dict.fromkeys(("on_unreadable", "unreadable_share", "cache"), ON_DISK),
        "phantom": ("phantom",),
    }

    kind: Literal["phantom", "masks", "mask_table"]
    images: str | None = None
    masks: str | None = None
    labels: str = "labels.csv"
    mask_values: dict[Value, Finding] = {}

    @model_validator(mode="after")
    def _consistent(self) -> "SegmentFile":
        if problems := self.misplaced():
            raise ValueError("; ".join(problems))
        on_disk, by_id = self.kind != "phantom", self.kind == "masks"
        if on_disk != (self.root is not None and bool(self.mask_values)):
            raise ValueError("`root` and `mask_values` are needed by kinds masks and mask_table, and read by no other")
        if by_id != (self.images is not None and self.masks is not None):
            raise ValueError(
                "`images` and `masks`, such as data/{id}.nii.gz, are needed by kind masks, and read by no other; a "
                "table of images and masks is kind mask_table"
            )
        return self


def read_site_file(path: Path | None) -> SegmentFile:
    """The validated site file with an absolute root; without one the phantom."""
    if path is None:
        return SegmentFile(kind="phantom")
    try:
        # strict mode takes lists for tuples and text for paths only from JSON
        return SegmentFile.model_validate_json(json.dumps(absolute_paths(read_yaml(path), path), default=str))
    except ValidationError as error:
        raise Refused(f"{path.name}: {sentences(error)}") from None

"""The site file of a causal table: which file, how its columns are called there, and what texts mean."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from brainct.core.sentences import sentences
from brainct.errors import Refused
from brainct.training.site_choices import SiteChoices
from brainct.training.site_yaml import read_yaml

Structure = Literal["asia", "sachs", "alarm"]
Levels = Annotated[list[str], Field(min_length=2, max_length=2)]


class CausalFile(SiteChoices):
    """One site's choices.

    kind: `causal_table`; `scans`, measured on scans and masks; `generated`, drawn from a known graph; `phantom_scans`,
    measured on phantom patients of whom it is known what caused what (ct.phantom.causes). path: a CSV file with a
    header, or a Parquet file (extra `[table]`). columns: {the job's column: the file's}, where they differ. levels: for
    a column of two texts [the one that is 0, the one that is 1]. force: take part with fewer rows than the job wants.
    structure, rows, changes, linear, seed: of generated data, of phantoms rows and seed; all sites but the first have
    `changes` columns with another mechanism. scanner: of phantoms; by default that of the site's name. scans: the site
    file of segmentation that names scans and masks. clinical: a table with `patient_id` and what else is known.
    """

    kind: Literal["causal_table", "scans", "generated", "phantom_scans"]
    path: Path | None = None
    columns: dict[str, str] = {}
    levels: dict[str, Levels] = {}
    force: bool = False
    structure: Structure = "asia"
    rows: Annotated[int, Field(ge=2, le=10**6)] = 400
    changes: Annotated[int, Field(ge=0, le=100)] = 0
    linear: bool = True
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    scanner: str | None = None
    scans: Path | None = None
    clinical: Path | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "CausalFile":
        if (self.kind == "causal_table") != (self.path is not None):
            raise ValueError("`path` names the file of kind causal_table, and of no other kind")
        if (self.kind == "scans") != (self.scans is not None) or (self.clinical and self.kind != "scans"):
            raise ValueError("`scans` names the site file of segmentation, and `clinical` joins it: kind scans alone")
        from brainct.ct.phantom import SCANNERS

        known = [one.name for one in SCANNERS]
        if self.scanner is not None and (self.kind != "phantom_scans" or self.scanner not in known):
            raise ValueError(f"`scanner`: got {self.scanner!r}, wanted for phantom_scans one of {', '.join(known)}")
        return self


def read_site_file(path: Path | None, linear: bool = True) -> CausalFile:
    """The validated site file with absolute paths; without one generated data, linear or not."""
    if path is None:
        return CausalFile(kind="generated", linear=linear)
    given: dict[str, Any] = dict(read_yaml(path))
    for key in ("path", "scans", "clinical"):
        if isinstance(given.get(key), str):
            given[key] = str(path.resolve().parent / given[key])
    try:
        # strict mode takes text for paths only from JSON
        return CausalFile.model_validate_json(json.dumps(given, default=str))
    except ValidationError as error:
        raise Refused(f"{path.name}: {sentences(error)}") from None

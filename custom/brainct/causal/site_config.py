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

    kind: `causal_table`, or `generated`, drawn from a known graph. path: a CSV file with a header, or a Parquet file
    (extra `[table]`). columns: {the job's column: the file's}, where they differ. levels: for a column of two texts
    [the one that is 0, the one that is 1]. force: take part with fewer rows than the job wants. structure, rows,
    changes, linear, seed: of generated data; all sites but the first have `changes` columns with another mechanism.
    """

    kind: Literal["causal_table", "generated"]
    path: Path | None = None
    columns: dict[str, str] = {}
    levels: dict[str, Levels] = {}
    force: bool = False
    structure: Structure = "asia"
    rows: Annotated[int, Field(ge=2, le=10**6)] = 400
    changes: Annotated[int, Field(ge=0, le=100)] = 0
    linear: bool = True
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    @model_validator(mode="after")
    def _consistent(self) -> "CausalFile":
        if (self.kind == "causal_table") != (self.path is not None):
            raise ValueError("`path` names the file of kind causal_table, and of no other kind")
        return self


def read_site_file(path: Path | None, linear: bool = True) -> CausalFile:
    """The validated site file with absolute paths; without one generated data, linear or not."""
    if path is None:
        return CausalFile(kind="generated", linear=linear)
    given: dict[str, Any] = dict(read_yaml(path))
    if "path" in given:
        given["path"] = str(path.resolve().parent / given["path"])
    try:
        # strict mode takes text for paths only from JSON
        return CausalFile.model_validate_json(json.dumps(given, default=str))
    except ValidationError as error:
        raise Refused(f"{path.name}: {sentences(error)}") from None

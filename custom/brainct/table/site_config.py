"""The site file of a table: which file, which column is the target, and how rows go into folds."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from brainct.core.sentences import sentences
from brainct.errors import Refused
from brainct.training.site_choices import SiteChoices, Split
from brainct.training.site_yaml import read_yaml

Demonstration = Literal["breast_cancer", "wine", "digits"]


class TableFile(SiteChoices):
    """One site's choices.

    kind: `table`, or `demo_table`, one of scikit-learn's data sets, partitioned among the sites. path: a CSV file with
    a header, or a Parquet file (extra `[table]`). target: the column of labels, where an empty cell is an
    unknown label. positive: the text of the target that counts as 1 in a binary task; else the target is 0 or 1.
    columns: the job's features in this file: names in the job's order, or {feature: column}; by default the columns of
    the features' names, or all but target and patient. patient: column whose rows of one value stay in one fold.
    missing: `mean` puts the mean over all sites in place of an empty cell; `refuse` refuses the file. public: a file of
    the public set, the same at all sites, whose target is not read. demo: which data set, by default the one that has
    the job's features; demo_public: how many of its samples are the public set.
    """

    kind: Literal["table", "demo_table"]
    path: Path | None = None
    target: str = "target"
    positive: str | None = None
    columns: list[str] | dict[str, str] | None = None
    patient: str | None = None
    missing: Literal["refuse", "mean"] = "refuse"
    public: Path | None = None
    split: Split = Split()
    batch_size: Annotated[int, Field(ge=1, le=10**7)] = 32
    demo: Demonstration | None = None
    demo_public: Annotated[int, Field(ge=0, le=10**4)] = 60

    @model_validator(mode="after")
    def _consistent(self) -> "TableFile":
        if (self.kind == "table") != (self.path is not None):
            raise ValueError("`path` names the file of kind table, and of no other kind")
        return self


def read_site_file(path: Path | None) -> TableFile:
    """The validated site file with absolute paths; without one the demonstration table."""
    if path is None:
        return TableFile(kind="demo_table")
    given = read_yaml(path)
    absolute: dict[str, Any] = {
        key: str(path.resolve().parent / given[key]) for key in ("path", "public") if key in given
    }
    return _validated({**given, **absolute}, path.name)


def _validated(given: Mapping[str, Any], name: str) -> TableFile:
    try:
        # strict mode takes text for paths only from JSON
        return TableFile.model_validate_json(json.dumps(given, default=str))
    except ValidationError as error:
        raise Refused(f"{name}: {sentences(error)}") from None

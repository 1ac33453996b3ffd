"""The site file `brainct.yaml`: where a hospital's scans are and how to read them; it never travels with a job."""

import difflib
import json
import os
import re
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, PrivateAttr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from brainct.ct.folds import Finding
from brainct.ct.read.choices import TiltChoice
from brainct.ct.site_choices import Partition, PhantomChoices, PublicSet, ScanChoices, SeriesRule, Split
from brainct.ct.wanted import DEFAULT, Wanted
from brainct.errors import Refused
from brainct.training.site_yaml import read_yaml

SourceKind = Literal["phantom", "png_csv", "class_folders", "manifest", "dicom", "ct_ich", "masks", "datalist"]


ON_DISK = ("png_csv", "class_folders", "manifest", "dicom", "ct_ich", "masks", "datalist")
VOLUMES = ("class_folders", "manifest", "dicom", "ct_ich", "masks", "datalist")
KINDS_OF_KEY = {
    "root": ON_DISK,
    "labels": ("png_csv", "manifest", "dicom", "ct_ich", "datalist"),
    "columns": ("png_csv", "manifest", "dicom"),
    "id_column": ("png_csv",),
    "images": ("png_csv", "masks"),
    "masks": ("masks",),
    "mask_values": ("masks", "datalist"),
    "classes": ("class_folders",),
    "allow_missing": ON_DISK,
    "fov_mm": ("manifest", "dicom", "ct_ich", "masks", "datalist"),
    "index": ("dicom",),
    "series": ("dicom",),
    "partition": ON_DISK,
    "public": ON_DISK,
    "cache": ON_DISK,
    "pictures": ON_DISK,
    "gantry_tilt": VOLUMES,
    "nifti_axes": VOLUMES,
    "on_unreadable": ON_DISK,
    "unreadable_share": ON_DISK,
    "phantom": ("phantom",),
}
"""See ScanChoices."""


class SiteFile(ScanChoices):
    """One site's choices; what other site files of scans have too is in ScanChoices.

    pictures: whether a report made on this machine may show single scans; scans of the phantom may always be shown.
    gantry_tilt, nifti_axes: see ct.read.choices. index: the table of series that `brainct data index` writes. series:
    see SeriesRule. masks, mask_values: see ct.read.published.masks. earlier: the site file of scans of an earlier run,
    whose training fold is replayed; see training.remember.
    """

    kinds_of_key: ClassVar[Mapping[str, tuple[str, ...]]] = KINDS_OF_KEY

    kind: SourceKind
    labels: str = "labels.csv"
    columns: Mapping[Finding, str] | None = None
    id_column: str = "id"
    images: str = "{id}.png"
    masks: str | None = None
    mask_values: Mapping[int, Finding] | None = None
    classes: Mapping[str, tuple[Finding, ...]] | None = None
    index: Path | None = None
    series: SeriesRule = SeriesRule()
    partition: Partition | None = None
    public: PublicSet | None = None
    gantry_tilt: TiltChoice = "note"
    nifti_axes: str | None = None
    pictures: bool = False
    earlier: Path | None = None

    _job: Wanted = PrivateAttr(default=DEFAULT)

    @classmethod
    def of_folder(cls, folder: Path) -> "SiteFile":
        """The choices for a folder of DICOM files, such as one study, all whose plain series are read."""
        rule = SeriesRule(least_slices=1, allow=("few",))
        return cls(kind="dicom", root=folder.resolve(), series=rule)

    @property
    def job(self) -> Wanted:
        """What the job wants for which the scans are read."""
        return self._job

    def for_job(self, job: Wanted) -> "SiteFile":
        """The same choices, for this job."""
        found = self.model_copy()
        found._job = job
        return found

    @field_validator("nifti_axes")
    @classmethod
    def _known_axes(cls, got: str | None) -> str | None:
        if got is not None and not re.fullmatch("[LR][AP][IS]|[AP][LR][IS]", got):
            raise ValueError(f"`nifti_axes`: got {got!r}, wanted where the axes run, such as LPS or RAS, slices last")
        return got

    @field_validator("images")
    @classmethod
    def _only_the_id(cls, got: str) -> str:
        try:
            fields = [name for _, name, _, _ in string.Formatter().parse(got) if name is not None]
        except ValueError:
            fields = []
        if fields != ["id"]:
            raise ValueError(f"`images`: got {got!r}, wanted one {{id}} in a file name, such as head_ct/{{id:03d}}.png")
        return got

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "SiteFile":
        problems = self.misplaced()
        if self.kind != "phantom" and self.root is None:
            problems.append(f"`root` is missing: kind {self.kind} needs the folder that contains the scans")
        if self.kind == "class_folders" and not self.classes:
            problems.append("`classes` is missing: name each folder with its findings, {hemorrhage: [any], normal: []}")
        if self.kind == "masks" and self.masks is None:
            problems.append("`masks` is missing: name the masks by their id, such as masks/{id}.nii.gz")
        if self.public is not None and self.partition is not None and self.partition.public is not None:
            problems.append("`public` and `partition.public` both name a public set: remove one of the two")
        if problems:
            raise ValueError("; ".join(problems))
        return self


def read_site_file(path: Path | str) -> SiteFile:
    """The validated site file, `${NAME}` in `root` expanded and `root` absolute; Refused lists every problem."""
    path = Path(path)
    given = absolute_paths(_with_current_keys(read_yaml(path), path.name), path)
    if isinstance(given.get("public"), Mapping):
        given = {**given, "public": absolute_paths(given["public"], path)}
    try:
        # strict mode takes lists for tuples and text for paths only from JSON
        return SiteFile.model_validate_json(json.dumps(given, default=str))
    except ValidationError as error:
        problems = [_sentence(each) for each in error.errors()]
        raise Refused("\n- ".join([f"{path.name}: {len(problems)} to fix", *problems])) from None


def _with_current_keys(given: dict[str, Any], name: str) -> dict[str, Any]:
    """Version 0.1 wrote `deal` for `partition` and its `test: dealt` for `test: own`; both are read in this release."""
    if "deal" not in given:
        return given
    if "partition" in given:
        raise Refused(f"{name}: `deal` is the old name of `partition`; remove one of the two")
    choices = given["deal"]
    if isinstance(choices, Mapping) and choices.get("test") == "dealt":
        choices = {**choices, "test": "own"}
    return {**{key: value for key, value in given.items() if key != "deal"}, "partition": choices}


def absolute_paths(given: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The same keys, with `root` and other paths absolute, relative to the folder of the site file."""
    paths = {key: given[key] for key in PATHS if isinstance(given.get(key), str)}
    return {**given, **{key: str(path.resolve().parent / _expanded(at, path.name)) for key, at in paths.items()}}


PATHS = ("root", "index", "cache", "earlier")


def _expanded(root: str, name: str) -> str:
    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if not found:
            raise Refused(
                f"{name}: `root` is {root}, but the environment variable {match[1]} is not set: "
                f"set {match[1]} to the folder that contains the scans, or write that folder as `root`"
            )
        return found

    return re.sub(r"\$\{(\w+)\}", value, root)


def _sentence(error: ErrorDetails) -> str:
    parts = [str(part) for part in error["loc"] if part != "[key]"]
    key, got, text = ".".join(parts), error["input"], error["msg"]
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if error["type"] == "missing":
        return f"`{key}` is missing"
    if error["type"] == "extra_forbidden":
        return f"unknown key `{key}`{_suggestion(parts)}"
    return f"`{key}`: got {got!r:.80}, wanted {text.removeprefix('Input should be ')}"


def _suggestion(parts: list[str]) -> str:
    models: dict[str, type[BaseModel]] = {
        "split": Split,
        "partition": Partition,
        "phantom": PhantomChoices,
        "public": PublicSet,
        "series": SeriesRule,
    }
    known = list((models[parts[0]] if len(parts) > 1 else SiteFile).model_fields)
    close = difflib.get_close_matches(parts[-1], known, n=1)
    return f": did you mean `{close[0]}`?" if close else f": wanted one of {', '.join(known)}"

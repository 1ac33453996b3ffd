"""The ledger: one line of JSON for each run that ended, appended whole; two ledgers are concatenated with `cat`."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, overload

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from brainct.core import json_file
from brainct.core.file_lock import locked
from brainct.core.sentences import sentences
from brainct.errors import Refused

SCALARS = ("auroc", "balanced_accuracy", "brier", "ece", "sensitivity_at_90_specificity")


def _scores(found: dict[str, Any]) -> dict[str, Any]:
    """Refuse text where a number belongs, in whatever was written by others; the one text is the reason."""
    for name, value in found.items():
        parts = [value] if name in SCALARS else list(_inside(value))
        if name != "reason" and not all(part is None or isinstance(part, int | float) for part in parts):
            raise ValueError(f"{name} is no number")
    return found


def _inside(value: Any) -> Iterable[Any]:
    """The values of a list or dict, and of those in it; of anything else itself."""
    if not isinstance(value, list | dict):
        return [value]
    return [part for one in (value.values() if isinstance(value, dict) else value) for part in _inside(one)]


Scores = Annotated[dict[str, Any], AfterValidator(_scores)]
"""What `ct.scores.scores` says of one finding; None where the labels do not define it, with a `reason`."""


CHOICES = ("arguments", "grid", "choices", "plan")
"""What of a row was chosen and not measured."""


class Site(BaseModel):
    """What became of one site of a run, at the end.

    train, test: scans in the fold. missed: rounds whose reply was lost. fingerprint: of its scans (SHA-256).
    scores: of `any` on the site's test fold, by the model that the site would use itself, without `calibration`.
    auroc_by_finding: AUROC of each of the six findings on the same fold, None where a class is absent.
    """

    model_config = ConfigDict(extra="forbid")

    train: int = Field(ge=0)
    test: int = Field(ge=0)
    missed: int = Field(0, ge=0)
    fingerprint: str = ""
    scores: Scores = {}
    auroc_by_finding: dict[str, float | None] = {}


class Point(BaseModel):
    """The validation folds after some rounds: means over the sites where `any` is defined; None where at none.

    round: rounds closed so far, >= 1. kib: KiB sent and received so far, mean over the sites.
    """

    model_config = ConfigDict(extra="forbid")

    round: int = Field(ge=1)
    auroc: float | None
    brier: float | None
    kib: float = Field(ge=0)


class Times(BaseModel):
    """What differs between two runs of the same thing.

    ended: UTC, ISO 8601. wall, cpu: seconds of the run's process, without making the scans, which are made once for all
    runs on them; other processes on the machine lengthen wall, and cpu a little. peak_mib: largest resident memory of
    the process, None where it is not known. host_cpu: kind of the CPU.
    """

    model_config = ConfigDict(extra="forbid")

    ended: str
    wall: float = Field(ge=0)
    cpu: float | None = Field(None, ge=0)
    peak_mib: float | None = Field(None, ge=0)
    host_cpu: str = ""


class Row(BaseModel):
    """One run.

    key: SHA-256 of all choices that determine the result: plan, federation, data. code: SHA-256 of the modules that
    computed it. The same (key, code) is the same run; the same key under two codes is the same question asked twice.
    name: what the tables call it: the scheme's name, `pooled`, `alone`, or the plan's own word for it.
    grid: the values of the grid point that this run tried, {} where nothing was tuned.
    federation: its name; choices: the federation in full (sites, scans, skew, data set).
    budget: 1, 2, ...: multiple of the plan's rounds. rounds: rounds that were planned. way: rehearse, simulator, ...
    plan: the run's choices in full, as in record.json. status: `failed` rows have an error sentence and no scores.

    sites: by name. pooled: scores of each finding over all sites' test scans together, each by its site's model; None
    where per-scan predictions are not at hand (a run under FLARE sends aggregates only).
    Of the findings other than `any`, the single numbers only.
    unseen: likewise, at a hospital outside the federation, with what it was delivered; None without one.
    validation: the curve. valid_auroc, valid_brier: means over sites of the final model on the validation folds, by
    which grids are tuned. reached: for each AUROC level, the first round at which the curve was there, None if never.

    kib_per_site: KiB sent and received over the whole run, mean over the sites. steps: optimiser steps of all sites
    together, fine-tuning for an evaluation included. model_sha256, model_bytes: of the delivered model.
    """

    model_config = ConfigDict(extra="forbid")

    key: str
    code: str
    name: str
    scheme: str
    arguments: dict[str, Any] = {}
    grid: dict[str, Any] = {}
    federation: str
    choices: dict[str, Any] = {}
    seed: int
    budget: int = Field(1, ge=1)
    rounds: int = Field(ge=1)
    way: str = "rehearse"
    plan: dict[str, Any] = {}
    versions: dict[str, str] = {}
    status: Literal["done", "failed"]
    error: str | None = None
    sites: dict[str, Site] = {}
    pooled: dict[str, Scores] | None = None
    unseen: dict[str, Scores] | None = None
    validation: list[Point] = []
    valid_auroc: float | None = None
    valid_brier: float | None = None
    reached: dict[str, int | None] = {}
    kib_per_site: float | None = None
    steps: int | None = None
    model_sha256: str | None = None
    model_bytes: int | None = None
    times: Times

    def over_sites(self, score: str = "auroc") -> list[float]:
        """A score of `any` at each site that has it, sites in order."""
        found = (self.sites[site].scores.get(score) for site in sorted(self.sites))
        return [float(value) for value in found if value is not None]

    def mean(self, score: str = "auroc") -> float | None:
        """Mean over the sites that have this score; None if none has."""
        values = self.over_sites(score)
        return sum(values) / len(values) if values else None

    def worst(self, score: str = "auroc") -> float | None:
        """The lowest of the sites' scores; None if none has one."""
        return min(self.over_sites(score), default=None)

    def best(self, score: str = "auroc") -> float | None:
        """The highest of the sites' scores; None if none has one."""
        return max(self.over_sites(score), default=None)


R = TypeVar("R", bound=BaseModel)


def append(path: Path, row: BaseModel) -> None:
    """Add one line, whole and on the disk before this returns; several processes may do so at once.

    What was measured is written with six decimals.
    A line that a crash cut off is removed first: the run that it belonged to counts as not done.
    """
    line = (json.dumps(_rounded(row.model_dump()), allow_nan=False, sort_keys=True) + "\n").encode()
    with locked(path.with_name(f".{path.name}.lock"), private=False), path.open("a+b") as file:
        file.truncate(_whole(file.seek(0, os.SEEK_END), path))
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


@overload
def read(path: Path) -> list[Row]: ...
@overload
def read(path: Path, kind: type[R]) -> list[R]: ...
def read(path: Path, kind: type[BaseModel] = Row) -> Any:
    """The rows in the order in which they were written; [] where there is no file yet. kind: what a row is.

    A last line without its end is a crash's and is left out; any other line that is no row is refused by its number.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [_row(line, f"{path.name}, line {number}", kind) for number, line in enumerate(lines, 1) if line.strip()]


def concatenated(paths: Iterable[Path]) -> list[Row]:
    """The rows of several ledgers, one machine's after the other's, each run once."""
    return once([row for path in paths for row in read(path)])


def once(rows: Sequence[Row]) -> list[Row]:
    """Each (key, code) once: the first row that is done, else the last that failed; order of first appearance."""
    kept: dict[tuple[str, str], Row] = {}
    for row in rows:
        before = kept.get((row.key, row.code))
        if before is None or before.status == "failed":
            kept[row.key, row.code] = row
    return list(kept.values())


def _rounded(value: Any) -> Any:
    """Six decimals for the numbers that were measured; choices stay as they are."""
    if isinstance(value, dict):
        return {name: each if name in CHOICES else _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, 6) if isinstance(value, float) else value


def _row(line: bytes, whose: str, kind: type[R]) -> R:
    try:
        return kind.model_validate(json_file.parsed(line, whose, "a ledger that `brainct compare` wrote"))
    except ValidationError as error:
        raise Refused(f"{whose}: {sentences(error)}") from None


def _whole(size: int, path: Path) -> int:
    """Bytes up to the end of the last whole line."""
    with path.open("rb") as file:
        back = 1 << 16
        while size:
            start = max(0, size - back)
            file.seek(start)
            end = file.read(size - start).rfind(b"\n")
            if end >= 0 or not start:
                return start + end + 1
            size = start
    return 0

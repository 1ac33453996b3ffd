"""One finished run as a row of the ledger: its choices, its scores at each site, its traffic and its times."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field

from brainct.compare.measure import Measure, measure_of

SCALARS = ("auroc", "balanced_accuracy", "brier", "ece", "sensitivity_at_90_specificity", "accuracy", "log_loss")
"""Scores that are single numbers."""


def _check_numbers(found: dict[str, Any]) -> dict[str, Any]:
    """Refuse text where a number belongs, since others may have written it; only `reason` is text."""
    for name, value in found.items():
        parts = [value] if name in SCALARS else list(_leaves(value))
        if name != "reason" and not all(part is None or isinstance(part, int | float) for part in parts):
            raise ValueError(f"{name} is not a number")
    return found


def _leaves(value: Any) -> Iterable[Any]:
    """The values inside a list or dict, at any depth; anything else itself."""
    if not isinstance(value, list | dict):
        return [value]
    return [leaf for each in (value.values() if isinstance(value, dict) else value) for leaf in _leaves(each)]


Scores = Annotated[dict[str, Any], AfterValidator(_check_numbers)]
"""The workload's scores of one output; None where the labels do not define a score, with a `reason`."""


class SiteResult(BaseModel):
    """One site's part in a run.

    train, test: samples in the fold. missed: rounds whose reply was lost. fingerprint: of its data (SHA-256).
    scores: of the measure's output on the site's test fold, by the model that the site would use, without
    `calibration`. by_output: the measure's score of each output on the same fold, None where the labels give none;
    rows of 0.1 call it auroc_by_finding.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    train: int = Field(ge=0)
    test: int = Field(ge=0)
    missed: int = Field(0, ge=0)
    fingerprint: str = ""
    scores: Scores = {}
    by_output: dict[str, float | None] = Field({}, validation_alias=AliasChoices("by_output", "auroc_by_finding"))


class CurvePoint(BaseModel):
    """The validation folds after some rounds: means over the sites that have the score; None where none has.

    round: rounds closed so far, >= 1. score, loss: those of the measure; rows of 0.1 call them auroc and brier. kib:
    KiB sent and received so far, mean over the sites.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    round: int = Field(ge=1)
    score: float | None = Field(validation_alias=AliasChoices("score", "auroc"))
    loss: float | None = Field(validation_alias=AliasChoices("loss", "brier"))
    kib: float = Field(ge=0)


class Times(BaseModel):
    """The part of a row that differs between two runs of the same choices.

    ended: UTC, ISO 8601. wall, cpu: seconds of the run's process, without making the scans, which all runs on them
    share; other processes on the machine lengthen wall, and cpu a little. peak_mib: largest resident memory of the
    process, None where unknown. host_cpu: kind of the CPU.
    """

    model_config = ConfigDict(extra="forbid")

    ended: str
    wall: float = Field(ge=0)
    cpu: float | None = Field(None, ge=0)
    peak_mib: float | None = Field(None, ge=0)
    host_cpu: str = ""


class RunRow(BaseModel):
    """One run.

    key: SHA-256 of all choices that determine the result: plan, federation, data. code: SHA-256 of the modules that
    computed it. The same (key, code) is the same run; one key under two codes is the same question asked twice.
    name: its name in the tables: the scheme's, `pooled`, `alone`, or the one that the comparison file states.
    grid: the grid point that this run tried, {} if nothing was tuned. federation: its name; choices: the federation in
    full (sites, scans, skew, data set). budget: 1, 2, ...: multiple of the comparison's rounds. rounds: planned rounds.
    way: the backend: rehearse, simulator, ... plan: the run's choices in full, as in record.json. status: `failed` rows
    have an error sentence and no scores.

    sites: by name. pooled: scores of each finding over all sites' test scans together, each by its site's model; None
    where single predictions are not available (a run under FLARE sends aggregates only). For outputs other than the
    measure's, the single numbers only. unseen: the same for the delivered model at a held-out site; None without one.
    validation: the curve. valid_score, valid_loss: means over sites of the final model on the validation folds, by
    which grids are tuned; rows of 0.1 call them valid_auroc and valid_brier. reached: for each level of the score, the
    first round at which the curve was there, None if never.

    kib_per_site: KiB sent and received over the whole run, mean over the sites. steps: optimiser steps of all sites
    together, including fine-tuning for an evaluation. model_sha256, model_bytes: of the delivered model.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

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
    sites: dict[str, SiteResult] = {}
    pooled: dict[str, Scores] | None = None
    unseen: dict[str, Scores] | None = None
    validation: list[CurvePoint] = []
    valid_score: float | None = Field(None, validation_alias=AliasChoices("valid_score", "valid_auroc"))
    valid_loss: float | None = Field(None, validation_alias=AliasChoices("valid_loss", "valid_brier"))
    reached: dict[str, int | None] = {}
    kib_per_site: float | None = None
    steps: int | None = None
    model_sha256: str | None = None
    model_bytes: int | None = None
    times: Times

    @property
    def measure(self) -> Measure:
        """What its workload is compared by."""
        return measure_of(self.plan)

    def over_sites(self, score: str = "") -> list[float]:
        """A score, by default the measure's, at each site that has it, sites in order."""
        found = (self.sites[site].scores.get(score or self.measure.score) for site in sorted(self.sites))
        return [float(value) for value in found if value is not None]

    def mean(self, score: str = "") -> float | None:
        """Mean over the sites that have this score; None if none has it."""
        values = self.over_sites(score)
        return sum(values) / len(values) if values else None

    def worst(self, score: str = "") -> float | None:
        """The lowest of the sites' scores; None without one."""
        return min(self.over_sites(score), default=None)

    def best(self, score: str = "") -> float | None:
        """The highest of the sites' scores; None without one."""
        return max(self.over_sites(score), default=None)

    def held_out(self, score: str = "") -> float | None:
        """A score, by default the measure's, at the held-out site; None without one."""
        value = (self.unseen or {}).get(self.measure.output, {}).get(score or self.measure.score)
        return None if value is None else float(value)

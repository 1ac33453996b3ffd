"""A run's record with the scores and counts of head CT, read tolerantly: see run.run_record for all other keys."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict

from brainct.ct.folds import FINDINGS
from brainct.report.ct.definitions import ANY
from brainct.report.tolerant import Number, OrNone, readable
from brainct.run import run_record
from brainct.run.run_record import RunRecord


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Bin(_Read):
    """Scans whose probability is in [low, high)."""

    low: float
    high: float
    scans: int
    mean_probability: Number = None
    positives: int = 0


class Confusion(_Read):
    """Scans by truth and answer at the threshold."""

    tp: int
    fp: int
    tn: int
    fn: int

    @classmethod
    def of_all(cls, several: Iterable["Confusion"]) -> "Confusion":
        """Their sum."""
        found = list(several)
        return cls(**{key: sum(getattr(one, key) for one in found) for key in cls.model_fields})


class Scores(_Read):
    """One finding at one site; None where a score is not defined, or an older version did not write it."""

    auroc: Number = None
    auroc_interval: Annotated[tuple[float, float] | None, OrNone] = None
    balanced_accuracy: Number = None
    sensitivity_at_90_specificity: Number = None
    brier: Number = None
    ece: Number = None
    calibration: Annotated[list[Bin] | None, OrNone] = None
    confusion: Annotated[Confusion | None, OrNone] = None
    positives: int = 0
    negatives: int = 0
    unlabelled: int = 0
    reason: str | None = None


class Counts(_Read):
    """Scans of one fold, and of how many each finding is known to be present or absent."""

    scans: int = 0
    positives: dict[str, int] = {}
    negatives: dict[str, int] = {}


class About(run_record.SiteDescription):
    """What a site said of its scans."""

    folds: dict[str, Counts] = {}

    def scans(self, fold: str) -> int:
        """Number of scans in a fold."""
        return self.folds.get(fold, Counts()).scans


Findings = Annotated[dict[str, Scores], readable(Scores)]
BySite = Annotated[dict[str, Findings], readable(Findings)]


class Round(run_record.Round):
    """One closed round with its validation scores."""

    validation: BySite = {}


class Record(run_record.RunRecord):
    """record.json, as far as it got; descriptions and scores that can't be read are left out."""

    sites: Annotated[dict[str, About], readable(About)]
    rounds: tuple[Round, ...]
    test: BySite = {}


NOTHING = Record.model_construct(version="", scheme="", seed=0, plan={}, sites={}, rounds=())
"""In place of the record of a run that closed no round."""


def scores_of(record: Record, name: str = ANY) -> dict[str, Scores]:
    """The test scores of a finding by site, sites in order."""
    return {site: found[name] for site, found in sorted(record.test.items()) if name in found}


def aurocs(record: Record, name: str = ANY) -> dict[str, float]:
    """The AUROC of a finding at the sites where it is defined."""
    return {site: one.auroc for site, one in scores_of(record, name).items() if one.auroc is not None}


def findings_of(record: RunRecord) -> list[str]:
    """The findings of a head CT run's job; those of a record without them are RSNA's."""
    found = record.plan.get("findings")
    return [str(name) for name in found] if isinstance(found, list | tuple) and found else list(FINDINGS)


def traffic(record: Record, site: str | None = None) -> tuple[int, int]:
    """Bytes sent to a site, or to all, and received from it."""
    down = sum(sum(_of_site(row.bytes_sent, site)) for row in record.rounds)
    return down, sum(sum(_of_site(row.bytes_received, site)) for row in record.rounds)


def _of_site(counts: Mapping[str, int], site: str | None) -> list[int]:
    return [count for name, count in counts.items() if site in (None, name)]


def mean_curve(record: Record) -> list[tuple[float, float | None]]:
    """(rounds closed, mean validation AUROC over the sites that have one)."""
    found = [(row.round + 1, mean(_validation(row))) for row in record.rounds if row.validation]
    return [(float(rounds), value) for rounds, value in found]


def _validation(row: Round) -> list[float]:
    values = [found[ANY].auroc for found in row.validation.values() if ANY in found]
    return [value for value in values if value is not None]


def mean(values: Sequence[float]) -> float | None:
    """The mean, or None of nothing."""
    return statistics.fmean(values) if values else None


def everyone(record: Record) -> list[str]:
    """Sites that described themselves or were asked anything."""
    asked = {site for row in record.rounds for site in (*row.bytes_sent, *row.lost)}
    return sorted(asked | set(record.sites))


def network(record: Record) -> str:
    """The network in words, or nothing."""
    network = record.plan.get("network")
    if not network or not isinstance(network, Mapping):
        return ""
    kind = "slices" if network.get("dims") == 2 else "volumes"
    return f"{network.get('architecture')} on {kind} {network.get('size')} pixels wide"


def seconds_of(record: Record) -> float:
    """Seconds of all closed rounds."""
    return sum(row.seconds for row in record.rounds)

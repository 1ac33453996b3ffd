"""A run's folder as a reader finds it: whole, cut short, or of an older version; what sites sent is not trusted."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from brainct.core import json_file
from brainct.core.sentences import sentences
from brainct.errors import Refused
from brainct.report.ct.definitions import ANY

T = TypeVar("T", bound=BaseModel)

LONGEST = 600
"""Characters of any one text that a site sent; the rest is left out."""

TRACES = ("record.json", "state", "tb_events", "model.safetensors")
"""What a folder must hold one of to be a run's."""


def number(value: Any) -> float | None:
    """A finite number, or None for anything else."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else None


def text(value: Any) -> str:
    """Printable text of bounded length: no control, direction or half characters."""
    shown = "".join(char if char.isprintable() else " " for char in str(value)[: LONGEST + 1])
    return shown if len(shown) <= LONGEST else shown[:LONGEST] + "..."


def cleaned(value: Any) -> Any:
    """JSON with all its strings, keys included, made printable."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Mapping):
        return {text(key): cleaned(item) for key, item in value.items()}
    return [cleaned(item) for item in value] if isinstance(value, list) else value


def readable(kind: Any) -> BeforeValidator:
    """Keeps the entries of a mapping that can be read as this: what one site sent must not hide the others."""
    adapter = TypeAdapter(kind)

    def fits(item: Any) -> bool:
        try:
            adapter.validate_python(item)
        except ValidationError:
            return False
        return True

    def client_state(value: Any) -> dict[str, Any]:
        return {key: item for key, item in value.items() if fits(item)} if isinstance(value, Mapping) else {}

    return BeforeValidator(client_state)


def _or_none(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except ValidationError:
        return None


Number = Annotated[float | None, BeforeValidator(number)]
Leave = WrapValidator(_or_none)


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Bin(_Read):
    """Scans whose probability lies in [low, high)."""

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
    """One finding at one site; None where it is not defined, or where an older version did not write it."""

    auroc: Number = None
    auroc_interval: Annotated[tuple[float, float] | None, Leave] = None
    balanced_accuracy: Number = None
    sensitivity_at_90_specificity: Number = None
    brier: Number = None
    ece: Number = None
    calibration: Annotated[list[Bin] | None, Leave] = None
    confusion: Annotated[Confusion | None, Leave] = None
    positives: int = 0
    negatives: int = 0
    unlabelled: int = 0
    reason: str | None = None


class Counts(_Read):
    """Scans of one fold, and of how many each finding is known to be there or not."""

    scans: int = 0
    positives: dict[str, int] = {}
    negatives: dict[str, int] = {}


class About(_Read):
    """What a site said of its scans."""

    kind: str = "unknown"
    folds: dict[str, Counts] = {}
    fingerprint: str = ""
    notes: list[str] = []

    def scans(self, fold: str) -> int:
        """Number of scans in a fold."""
        return self.folds.get(fold, Counts()).scans


Findings = Annotated[dict[str, Scores], readable(Scores)]
BySite = Annotated[dict[str, Findings], readable(Findings)]


class Round(_Read):
    """One closed round."""

    round: int
    seconds: float = 0.0
    lost: dict[str, str] = {}
    metrics: dict[str, dict[str, Number]] = {}
    bytes_sent: dict[str, int] = {}
    bytes_received: dict[str, int] = {}
    validation: BySite = {}


class Record(_Read):
    """record.json, as far as it got."""

    way: str = ""
    scheme: str = ""
    arguments: dict[str, Any] = {}
    seed: int | None = None
    plan: dict[str, Any] = {}
    versions: dict[str, str] = {}
    sites: Annotated[dict[str, About], readable(About)] = {}
    rounds: list[Round] = []
    test: BySite = {}
    model_sha256: str = ""
    model_bytes: int = 0
    seconds: float = 0.0


class FullBarrier(_Read):
    """The whole network's way from one model to the other."""

    barrier: Number = None
    excess: list[float] = []


class LayerBarrier(_Read):
    """One layer's way, the rest being one model or the other."""

    path: str
    base_a: float
    base_b: float
    excess_a: list[float] = []
    excess_b: list[float] = []

    @property
    def barrier(self) -> float:
        """The larger of both bases'."""
        return max(self.base_a, self.base_b)

    def excess(self, base: str) -> list[float]:
        """The loss above the line between both ends, at the even points; empty in a file without it."""
        return self.excess_a if base == "a" else self.excess_b


class Rises(_Read):
    """Rises of the loss by kind of direction, at each length; None where there is no such direction."""

    path: str = ""
    interpolation: list[float] | None = None
    random: list[float] | None = None
    training: list[float] | None = None
    null: list[float] | None = None


class Perturbations(_Read):
    """How the loss rises when A is moved as far as shares (`scales`) of the way to B: the network, and each layer."""

    scales: list[float] = []
    whole: Rises = Rises()
    layers: list[Rises] = []


class Measured(_Read):
    """What the loss of barriers is."""

    fold: str = "unknown"
    finding: str = "all"
    scans: int = 0


class Barriers(_Read):
    """barriers.json, as far as a page shows it."""

    pairs: list[list[str]] = []
    loss: Measured = Measured()
    alphas: list[float] = []
    full: FullBarrier = FullBarrier()
    layers: list[LayerBarrier] = []
    cumulative: dict[str, list[float]] = {}
    perturbations: Perturbations = Perturbations()


@dataclass(frozen=True)
class RunFolder:
    """A run that somebody wants to read about. label: what pages call it."""

    folder: Path
    record: Record
    label: str
    recorded: bool = True
    barriers: Barriers = field(default_factory=Barriers)

    @property
    def finished(self) -> bool:
        """Whether the run came to its end and was tested."""
        return bool(self.record.model_sha256)

    @property
    def sites(self) -> list[str]:
        """Names of all sites that said what they have, sorted."""
        return sorted(self.record.sites)


def read_run(folder: Path) -> RunFolder:
    """A run's folder; refused where it is none, or where its record is broken."""
    if not folder.is_dir() or not any((folder / trace).exists() for trace in TRACES):
        raise Refused(f"{folder} is not a run's folder (no {', '.join(TRACES)}); name the folder that a run wrote")
    path = folder / "record.json"
    record = _parsed(path, Record) if path.is_file() else Record()
    barriers = folder / "barriers.json"
    seed = f", seed {record.seed}" if record.seed is not None else ""
    return RunFolder(
        folder,
        record,
        f"{record.scheme}{seed}" if record.scheme else text(folder.resolve().name),
        path.is_file(),
        _parsed(barriers, Barriers) if barriers.is_file() else Barriers(),
    )


def _parsed(path: Path, model: type[T]) -> T:
    try:
        return model.model_validate(
            cleaned(json_file.parsed(path.read_bytes(), str(path), "the file as a run wrote it"))
        )
    except ValidationError as error:
        raise Refused(f"{path}: {sentences(error)}") from None


def scores_of(record: Record, name: str = ANY) -> dict[str, Scores]:
    """The test scores of a finding by site, sites in order."""
    return {site: found[name] for site, found in sorted(record.test.items()) if name in found}


def aurocs(record: Record, name: str = ANY) -> dict[str, float]:
    """The AUROC of a finding at the sites where it is defined."""
    return {site: one.auroc for site, one in scores_of(record, name).items() if one.auroc is not None}


def traffic(record: Record, site: str | None = None) -> tuple[int, int]:
    """Bytes sent to a site, or to all, and received from it."""
    down = sum(sum(_only(row.bytes_sent, site)) for row in record.rounds)
    return down, sum(sum(_only(row.bytes_received, site)) for row in record.rounds)


def _only(counts: dict[str, int], site: str | None) -> list[int]:
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
    network = record.plan.get("network", {})
    if not network:
        return ""
    kind = "slices" if network.get("dims") == 2 else "volumes"
    return f"{network.get('architecture')} on {kind} {network.get('size')} pixels wide"


def seconds_of(record: Record) -> float:
    """Seconds of all closed rounds."""
    return sum(row.seconds for row in record.rounds)

"""record.json: what a run writes about itself and what every reader of runs reads.

Descriptions of data and scores are the workload's; they were validated when a site sent them and are kept as they came.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from brainct.core import json_file
from brainct.core.sentences import sentences
from brainct.core.version import VERSION
from brainct.core.workload import Workload
from brainct.errors import Refused
from brainct.job.workloads import workload_named

FILE = "record.json"
WANTED = "the record.json of a run"
FIRST = "0.1.0"
"""The version whose records do not name their version."""

Numbers = Mapping[str, float]
R = TypeVar("R", bound="RunRecord")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    def as_json(self) -> dict[str, Any]:
        """Plain data with the keys that were set, as record.json and the checkpoint hold it."""
        return self.model_dump(mode="json", exclude_unset=True)


class SiteDescription(_Part):
    """What a site said of its data at the roll call, see protocol.reply_schema; the workload's counts are extra."""

    model_config = ConfigDict(extra="allow")

    kind: str = "unknown"
    fingerprint: str
    notes: Sequence[str] = ()


class Round(_Part):
    """One closed round.

    round: its number, from 0. seconds: it took. lost: by site, why its reply did not count; a follow-up exchange has
    keys of its own. reported: sites whose report took part. metrics: what these measured while they trained.
    answered: seconds after which each site's report had arrived. bytes_sent, bytes_received: to and from each site that
    was asked. validation: each site's scores after the round; {} where none were due.
    """

    round: int = Field(ge=0, le=10**6)
    seconds: float = Field(0.0, ge=0)
    lost: Mapping[str, str]
    reported: list[str]
    metrics: Mapping[str, Numbers]
    answered: Numbers = {}
    bytes_sent: Mapping[str, int]
    bytes_received: Mapping[str, int]
    validation: Mapping[str, Any] = {}


class Resumption(_Part):
    """round: the number of rounds closed before. time: UTC, ISO 8601. versions, package: of the resuming process."""

    round: int = Field(ge=0)
    time: str
    versions: Mapping[str, str]
    package: str = ""


class Selected(_Part):
    """The choice among rounds by the sites' validation scores, where the job has a `selection`.

    score: its name. round: the best one, from 0; null where no site sent a score. value: the mean over `sites`, as they
    sent it. score_forms: by site whose policy does not send exact scores, how it sends them. stopped_after: the round
    after which the run ended early, null where it did not. model_sha256: of best.safetensors; empty, it is not kept.
    """

    score: str
    round: int | None = None
    value: float | None = None
    sites: Sequence[str] = ()
    score_forms: Mapping[str, str] = {}
    stopped_after: int | None = None
    model_sha256: str = ""


class SentModel(_Part):
    """The model that a site sent last. round: in which it did. scores: its headlines on each site's test fold."""

    round: int = Field(ge=0)
    scores: Mapping[str, Mapping[str, float | None]] = {}


class Ancestor(_Part):
    """A model that a run's model was trained on from. sha256: of the model. source: in words, where it comes from."""

    sha256: str
    source: str


class Started(_Part):
    """The model before round 0, where the job starts from one.

    name: of a start model of the package, else empty. head: `kept`, or `replaced` by a seeded one, as the outputs are
    others. lineage: the models behind it and at last itself.
    """

    name: str = ""
    head: str
    lineage: Sequence[Ancestor]


class Participation(_Part):
    """One site over the run. asked, took_part: numbers of rounds. lost: by round, why its report did not take part."""

    asked: int = Field(ge=0)
    took_part: int = Field(ge=0)
    lost: Mapping[str, str]


class RollCall(_Part):
    """A run that began without some of its sites. missing: by site, why. joined: by site, the round in which it
    answered; it takes part from the next one on."""

    missing: Mapping[str, str] = {}
    joined: Mapping[str, int] = {}


def _choices(plan: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(plan.get("scheme"), str):
        raise ValueError("wanted a job's choices, of which `scheme` is a name")
    rounds = plan.get("rounds")
    if not isinstance(rounds, int) or isinstance(rounds, bool) or not 1 <= rounds <= 10**6:
        raise ValueError("wanted a job's choices, of which `rounds` is at least 1")
    return plan


class RunRecord(_Part):
    """A run up to its last closed round; `test` and what follows it are there once the run is finished.

    version: of brainct, which wrote the record; package: with a hash of its sources. way: `rehearse`, or where FLARE
    runs. plan: the job's choices. seconds: of the whole run, those before a resume included. lose: replies lost on
    purpose, by site and round. roll_call: null where every site answered it. test: each site's scores on its test fold.
    model_sha256, model_bytes: of the model. cross_site: by site, the model that it sent last; {} unless the job asks.
    """

    version: str
    way: str = ""
    scheme: str
    arguments: Mapping[str, Any] = {}
    seed: int
    plan: Annotated[Mapping[str, Any], AfterValidator(_choices)]
    versions: Mapping[str, str] = {}
    package: str = ""
    sites: Mapping[str, SiteDescription]
    rounds: tuple[Round, ...]
    seconds: float = Field(0.0, ge=0, le=10**10)
    lose: Sequence[tuple[str, int]] = ()
    resumed: Sequence[Resumption] = ()
    test: Mapping[str, Any] = {}
    model_sha256: str = ""
    model_bytes: int = Field(0, ge=0)
    participation: Mapping[str, Participation] = {}
    selection: Selected | None = None
    start: Started | None = None
    roll_call: RollCall | None = None
    cross_site: Mapping[str, SentModel] = {}

    @model_validator(mode="before")
    @classmethod
    def _of_the_first_version(cls, content: Any) -> Any:
        """Records of 0.1.0 say neither their version nor, but for the metrics, who took part."""
        if not isinstance(content, dict) or "version" in content:
            return content
        known = {key: value for key, value in content.items() if key in cls.model_fields}
        rounds = content.get("rounds")
        if isinstance(rounds, list):
            known["rounds"] = [_with_reported(row) for row in rounds]
        return {**known, "version": FIRST}

    @model_validator(mode="after")
    def _in_order(self: R) -> R:
        if [row.round for row in self.rounds] != list(range(len(self.rounds))):
            raise ValueError("wanted rounds 0, 1, 2, ... in this order")
        return self

    @property
    def finished(self) -> bool:
        """Whether the run came to its end and its model was tested."""
        return bool(self.model_sha256 and self.test)

    @property
    def members(self) -> list[str]:
        """The sites of the run, with those that never answered the roll call, sorted."""
        return sorted({*self.sites, *(self.roll_call.missing if self.roll_call else ())})

    @property
    def workload(self) -> Workload:
        """The kind of data and models; head CT in a record of 0.1.0."""
        return workload_named(self.plan.get("workload", "ct"))

    def samples(self, site: str, fold: str) -> int:
        """Number of samples that a site has in a fold."""
        return self.workload.samples(self.sites[site].as_json(), fold)

    def missed(self, site: str) -> int:
        """Number of rounds in which a site's reply was lost."""
        return sum(site in row.lost for row in self.rounds)


def participation(record: RunRecord) -> dict[str, Participation]:
    """For each site: in how many rounds it was asked and its report took part, and why not in the others."""
    return {
        site: Participation(
            asked=sum(site in row.bytes_sent for row in record.rounds),
            took_part=sum(site in row.reported for row in record.rounds),
            lost={str(row.round): row.lost[site] for row in record.rounds if site in row.lost},
        )
        for site in record.members
    }


def _with_reported(row: Any) -> Any:
    metrics = row.get("metrics") if isinstance(row, dict) else None
    return {**row, "reported": sorted(metrics)} if isinstance(metrics, dict) else row


def read_record(path: Path) -> RunRecord:
    """The record.json of a run that may not have ended; refused with its path where it is missing or something else."""
    if not path.is_file():
        raise Refused(f"no record at {path}; wanted {WANTED}")
    return parse_record(json_file.parsed(path.read_bytes(), str(path), WANTED), str(path), RunRecord)


def parse_record(content: Any, whose: str, kind: type[R]) -> R:
    """Parsed JSON as a record. kind: RunRecord, or a reader's subclass that also reads a workload's scores."""
    if not isinstance(content, dict):
        raise Refused(f"{whose} holds {type(content).__name__}; wanted a JSON object: {WANTED}")
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        version = content.get("version", FIRST)
        other = "" if version == VERSION else f", written by brainct {version!r:.40}, read by {VERSION}"
        raise Refused(f"{whose}{other}: {sentences(error)}; wanted {WANTED}") from None

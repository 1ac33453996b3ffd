"""What a run goes on from: the server's memory and the record so far, one file, closed to disk after each round."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from brainct.core import json_file, serialization
from brainct.core.file_lock import AT_ONCE, locked
from brainct.core.scheme import Memory
from brainct.errors import Refused
from brainct.job.config import Plan

FILE = "memory.safetensors"


Numbers = dict[str, float]


class _Row(BaseModel):
    round: int = Field(ge=0, le=10**6)
    lost: dict[str, str]
    metrics: dict[str, Numbers]
    answered: Numbers
    bytes_sent: Numbers
    bytes_received: Numbers


class _About(BaseModel):
    folds: dict[str, dict[str, Any]]
    fingerprint: str


class _Choices(BaseModel):
    scheme: str
    rounds: int = Field(ge=1, le=10**6)


class _Record(BaseModel):
    """What a resumed run reads of its record; what else stands there is passed on as it is."""

    model_config = ConfigDict(allow_inf_nan=False)

    plan: _Choices
    sites: dict[str, _About]
    rounds: list[_Row]
    seconds: float = Field(ge=0, le=10**10)
    lose: list[tuple[str, int]] = []
    resumed: list[dict[str, Any]] = []


@dataclass(frozen=True)
class State:
    """The server's memory after the rounds that the record holds."""

    memory: Memory
    record: dict[str, Any]


def save(folder: Path, state: State) -> None:
    """Replace the folder's state in one step; its hash lies in the same file."""
    content = {"memory": state.memory, "record": state.record}
    serialization.save(folder / FILE, {**content, "sha256": serialization.sha256(content)})


def load(folder: Path, run: str) -> State:
    """The state that was saved last; a file that is missing, cut or altered is refused by the run's name."""
    path = folder / FILE
    if not path.is_file():
        raise Refused(f"run {run} has closed nothing that it could go on from (no {FILE}); begin it anew")
    try:
        content = serialization.load(path)
        sha256 = content.pop("sha256")
        whole = sha256 == serialization.sha256(content)
        _Record.model_validate(content["record"])
        memory = content["memory"]
    except ValidationError as error:
        raise Refused(f"run {run}: {FILE} holds no record ({error.error_count()} faults); begin anew") from None
    except (Refused, LookupError, AttributeError, TypeError, OSError) as error:
        raise Refused(f"run {run}: {FILE} can't be read ({error}); restore it from a backup or begin anew") from None
    if not whole:
        raise Refused(f"run {run}: {FILE} is not what was written (its hash differs); restore it or begin anew")
    return State(memory, content["record"])


def record_in(path: Path) -> dict[str, Any]:
    """The record.json of a run that may not have ended."""
    if not path.is_file():
        raise Refused(f"no record at {path}; wanted the record.json that a run writes")
    return json_file.table(path.read_bytes(), str(path), "the record.json of a run")


def check(state: State, plan: Plan, sites: Sequence[str], run: str) -> None:
    """Refuse to go on with another plan or other sites than the run began with; what differs is said."""
    was = {**state.record["plan"], "sites": sorted(state.record["sites"])}
    now = {**json.loads(json.dumps(plan.model_dump())), "sites": sorted(sites)}
    differing = [f"{key} was {was.get(key)} and is now {now[key]}" for key in now if was.get(key) != now[key]]
    if differing:
        raise Refused(f"run {run} can't go on: {'; '.join(differing)}; resume it with the job and sites it began with")


def same_scans(was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to go on with other scans than the run began with: what was tested could be trained on."""
    changed = [site for site in sorted(was) if was[site]["fingerprint"] != now[site]["fingerprint"]]
    if changed:
        raise Refused(f"the scans of {', '.join(changed)} are not those that the run began with; begin a new run")


def same_copies(state: State, folder: Path, sites: Mapping[str, Any], run: str) -> None:
    """Refuse to go on from a state that is not the run's last one, or with a site that lost what it kept of the run.

    folder: locked. sites: what each said at the roll call, `kept` among it: the last round that it answered, -1 for
    none, and whether it keeps nothing (`empty`). Where no site keeps anything, nothing can be lost.
    """
    if load(folder, run).record["rounds"] != state.record["rounds"]:
        raise Refused(f"run {run} went on in another process meanwhile; resume it again")
    closed, kept = len(state.record["rounds"]), {site: about["kept"] for site, about in sites.items()}
    if ahead := sorted(site for site, one in kept.items() if one["round"] > closed):
        raise Refused(
            f"run {run} has {closed} closed rounds here, but {', '.join(ahead)} took part in later ones: this state is "
            "an older copy; restore the last one or begin anew"
        )
    took = {site: row["round"] for row in state.record["rounds"] for site in row["metrics"]}
    behind = sorted(site for site, one in kept.items() if one["round"] < took.get(site, -1))
    if behind and not all(one["empty"] for one in kept.values()):
        raise Refused(
            f"{', '.join(behind)} no longer has what it kept of run {run}, without which the model would be another; "
            "restore it there (brainct/client_state in the kit) or begin anew"
        )


@contextmanager
def lock(folder: Path, run: str) -> Iterator[None]:
    """Held by the one process that writes a run's state; refused while another process holds it."""
    with ExitStack() as held:
        try:
            held.enter_context(locked(folder / "lock", timeout=AT_ONCE))
        except Timeout:
            raise Refused(f"run {run} is still running in another process; wait for it or end it first") from None
        yield

"""The checkpoint: the server's memory and the record so far in one file, replaced after each closed round."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import Timeout
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from brainct.core import json_file, serialization
from brainct.core.file_lock import AT_ONCE, locked
from brainct.core.names import listing
from brainct.core.scheme import Memory
from brainct.core.version import VERSION
from brainct.core.weights import Weights
from brainct.errors import Refused
from brainct.job.config import Plan
from brainct.run.run_record import FIRST, RunRecord, SiteDescription

FILE = "memory.safetensors"


@dataclass(frozen=True)
class State:
    """The server's memory after the rounds in the record. sent: see RecordWriter.sent."""

    memory: Memory
    record: RunRecord
    sent: Mapping[str, Weights] = field(default_factory=dict)


def save(folder: Path, state: State) -> None:
    """Replace the folder's checkpoint in one step; the file holds its own hash.

    The record is one text: as plain data, a long run's would take longer to walk through than its round takes.
    """
    try:
        record = state.record.model_dump_json(exclude_unset=True)
    except (PydanticSerializationError, ValueError) as error:
        raise Refused(f"the record holds what JSON has no words for ({error}); begin the run anew") from None
    content: dict[str, Any] = {"memory": state.memory, "record": record}
    content |= {"sent": state.sent} if state.sent else {}
    serialization.save(folder / FILE, {**content, "sha256": serialization.sha256(content)})


def load(folder: Path, run: str) -> State:
    """The checkpoint that was saved last.

    Refused by the run's name: a file that is missing, cut or altered, and one of another version of brainct.
    """
    path = folder / FILE
    if not path.is_file():
        raise Refused(f"run {run} has no checkpoint to continue from (no {FILE}); begin it anew")
    try:
        content = serialization.load(path)
        sha256 = content.pop("sha256")
        whole = sha256 == serialization.sha256(content)
        record, memory = _record_in(content), content["memory"]
        version = record.get("version", FIRST)
    except (Refused, LookupError, AttributeError, TypeError, OSError) as error:
        raise Refused(f"run {run}: {FILE} can't be read ({error}); restore it from a backup or begin anew") from None
    if not whole:
        raise Refused(f"run {run}: {FILE} is not what was written (its hash differs); restore it or begin anew")
    if version != VERSION:
        raise Refused(
            f"run {run} was begun under brainct {version!s:.40} and can't be resumed under {VERSION}: their "
            "checkpoints differ; resume it under the version that it began with, or begin it anew. The order: let runs "
            "end, upgrade server and sites one after the other in any order, then begin new runs"
        )
    try:
        found = RunRecord.model_validate(record)
    except ValidationError as error:
        raise Refused(f"run {run}: {FILE} holds no record ({error.error_count()} faults); begin anew") from None
    _check_scores(found, run)
    return State(memory, found, content.get("sent", {}))


def _check_scores(record: RunRecord, run: str) -> None:
    """Refuse a record whose rounds have scores that the workload can't read."""
    for row in record.rounds:
        try:
            for scores in row.validation.values():
                record.workload.headline(scores)
        except (AttributeError, LookupError, TypeError, ValueError):
            raise Refused(
                f"run {run}: {FILE} has scores of round {row.round} that can't be read; restore it or begin anew"
            ) from None


def _record_in(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The record in a checkpoint: JSON text, in older ones plain data."""
    found: str | dict[str, Any] = content["record"]
    return json_file.table(found, "its record", "an object") if isinstance(found, str) else found


def check_job(state: State, plan: Plan, sites: Sequence[str], run: str) -> None:
    """Refuse to continue with another plan or other sites than the run began with; the sentence says what differs."""
    was = {**state.record.plan, "sites": state.record.members}
    now = {**json.loads(json.dumps(plan.model_dump())), "sites": sorted(sites)}
    differing = [f"{key} was {was.get(key)} and is now {now[key]}" for key in now if was.get(key) != now[key]]
    if differing:
        raise Refused(
            f"run {run} can't continue: {'; '.join(differing)}; resume it with the job and sites that it began with"
        )


def check_data(was: Mapping[str, SiteDescription], now: Mapping[str, SiteDescription]) -> None:
    """Refuse to continue with other data than the run began with: test samples could become training samples."""
    changed = [site for site in sorted({*was} & {*now}) if was[site].fingerprint != now[site].fingerprint]
    if changed:
        raise Refused(f"the scans of {listing(changed)} are not those that the run began with; begin a new run")


def check_last_copy(state: State, folder: Path, sites: Mapping[str, Any], run: str) -> None:
    """Refuse an older copy of the checkpoint, or a site that lost its client state; the folder is locked."""
    if load(folder, run).record.rounds != state.record.rounds:
        raise Refused(f"run {run} continued in another process meanwhile; resume it again")
    check_kept(state.record, sites, run)


def check_kept(record: RunRecord, sites: Mapping[str, Any], run: str) -> None:
    """Refuse sites that took part in later rounds than the record has, or that lost their client state.

    sites: each site's reply at the roll call; `kept` in it is the last round that it answered, -1 for none, and whether
    its client state is `empty`. Where all sites' client state is empty, nothing can be lost.
    """
    closed, kept = len(record.rounds), {site: about["kept"] for site, about in sites.items()}
    if ahead := sorted(site for site, one in kept.items() if one["round"] > closed):
        raise Refused(
            f"run {run} has {closed} closed rounds here, but {listing(ahead)} took part in later ones: this "
            "checkpoint is an older copy; restore the last one or begin anew"
        )
    took_part = {site: row.round for row in record.rounds for site in row.reported}
    behind = sorted(site for site, one in kept.items() if one["round"] < took_part.get(site, -1))
    if behind and not all(one["empty"] for one in kept.values()):
        raise Refused(
            f"{listing(behind)} no longer has its client state of run {run}, without which the model would differ; "
            "restore it there (brainct/client_state in the kit) or begin anew"
        )


@contextmanager
def lock(folder: Path, run: str) -> Iterator[None]:
    """Held by the one process that writes a run's checkpoint; refused while another process holds it."""
    with ExitStack() as held:
        try:
            held.enter_context(locked(folder / "lock", timeout=AT_ONCE))
        except Timeout:
            raise Refused(f"run {run} is still running in another process; wait for it or end it first") from None
        yield

"""Where a run stands, in a few numbers: for FLARE's `show_stats`, and in a file for whoever watches the server."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brainct.core import json_file, serialization
from brainct.core.names import listing
from brainct.run.inbox import Inbox
from brainct.run.run_record import RunRecord

FILE = "progress.json"


def progress(record: RunRecord) -> dict[str, Any]:
    """The closed rounds of a run.

    round: closed so far, `of` so many; seconds, reported, lost: of the last one; loss: the mean of its sites' training
    losses; headline: the mean over the sites of the workload's first score on their validation folds, by its name, with
    the round after which it was found. Numbers that no site sent are left out. time: of writing, seconds since 1970.
    """
    found: dict[str, Any] = {
        "scheme": record.scheme,
        "round": len(record.rounds),
        "of": record.plan["rounds"],
        "sites": record.members,
        "finished": record.finished,
        "time": round(time.time(), 1),
    }
    if record.rounds:
        last = record.rounds[-1]
        found |= {"seconds": last.seconds, "reported": list(last.reported), "lost": sorted(last.lost)}
        found |= _mean("loss", [numbers["loss"] for numbers in last.metrics.values() if "loss" in numbers])
    return found | _headline(record)


def _headline(record: RunRecord) -> dict[str, Any]:
    scored = [row for row in record.rounds if row.validation]
    if not scored:
        return {}
    workload, name = record.workload, next(iter(record.workload.headlines))
    values = [workload.headline(scores)[name] for scores in scored[-1].validation.values()]
    mean = _mean("value", [value for value in values if value is not None])
    return {"headline": {"name": name, "round": scored[-1].round + 1, **mean}} if mean else {}


def _mean(name: str, values: list[float]) -> dict[str, float]:
    return {name: sum(values) / len(values)} if values else {}


def stats(record: RunRecord, inbox: Inbox[Any] | None) -> dict[str, Any]:
    """The same, flat, as FLARE's console shows it, with the exchange that is open."""
    known = progress(record)
    shown: dict[str, Any] = {key: known[key] for key in ("scheme", "round", "of", "seconds", "loss") if key in known}
    shown |= {"sites": len(known["sites"]), "lost": listing(known.get("lost", [])) or "none"}
    if headline := known.get("headline"):
        shown |= {headline["name"]: headline["value"]}
    if inbox is not None:
        shown |= {"exchange": inbox.name, "asked": len(inbox.asked), "answered": len(inbox.replies)}
        shown |= {"waiting_for": listing(inbox.missing()) or "none"}
    return shown


def write(folder: Path, record: RunRecord) -> None:
    """Replace the file in a run's folder of the server."""
    serialization.write(folder / FILE, json.dumps(progress(record)).encode(), private=True)


def read(folder: Path) -> Mapping[str, Any]:
    """The file's content; {} where a run has none yet."""
    file = folder / FILE
    return json_file.table(file.read_bytes(), str(file), "the progress of a run") if file.is_file() else {}

"""What runs have stored in a kit, and its removal: by name, or by age and size."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from brainct.errors import Refused
from brainct.run import checkpoint

STORED = {"runs": "checkpoint", "client_state": "client state"}
JOB = "job folder"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""The name of the folder that FLARE makes in a kit for each job and leaves there."""


@dataclass(frozen=True)
class Stored:
    """One folder of a run. bytes: of its files; changed: the latest of their times."""

    run: str
    what: str
    folder: Path
    bytes: int
    changed: datetime


def stored(kit: Path) -> list[Stored]:
    """Everything that runs have stored in a kit of the server or a site."""
    if not any((kit / part).is_dir() for part in ("startup", "brainct")):
        raise Refused(f"{kit} is not a FLARE kit; wanted the folder with startup/ and local/")
    return [_measured(folder, what) for folder, what in _folders(kit)]


def _folders(kit: Path) -> Iterator[tuple[Path, str]]:
    for part, what in STORED.items():
        yield from ((folder, what) for folder in sorted((kit / "brainct" / part).glob("*")) if folder.is_dir())
    yield from ((folder, JOB) for folder in sorted(kit.glob("*")) if folder.is_dir() and UUID.fullmatch(folder.name))


def _measured(folder: Path, what: str) -> Stored:
    files = [path for path in folder.rglob("*") if path.is_file()]
    changed = datetime.fromtimestamp(max(path.stat().st_mtime for path in [folder, *files]))
    return Stored(folder.name, what, folder, sum(path.stat().st_size for path in files), changed)


def remove(kit: Path, run: str) -> list[Path]:
    """Delete everything of a run, which can't be resumed afterwards; refused while a job runs in the kit."""
    found = [each for each in stored(kit) if each.run == run]
    if not found:
        raise Refused(f"{kit} stores nothing of a run {run!r}; `brainct runs list {kit}` lists what it stores")
    if running := _running(kit):
        raise Refused(
            f"{kit} has a running job, {running[0]}, which may need its client state; remove the run once the job has "
            "ended (a site that was killed notices the end when it is started again)"
        )
    for each in found:
        _delete(each)
    return [each.folder for each in found]


def prune(kit: Path, days: float, megabytes: float | None = None, dry: bool = False) -> tuple[list[Stored], list[str]]:
    """Delete what was last changed more than so many days ago; then the oldest, until all of it takes so little.

    Nothing younger than a day is deleted, and nothing of a run that goes on; returns what was deleted, and sentences on
    what could not be. dry: delete nothing.
    """
    if days < 1:
        raise Refused(f"--days is {days:g}; wanted at least 1, a run of today may still be resumed")
    now, running = datetime.now(), _running(kit)
    every = sorted(stored(kit), key=lambda each: each.changed)
    old = [each for each in every if now - each.changed > timedelta(days=days)]
    size = sum(each.bytes for each in every if each not in old)
    for each in [row for row in every if row not in old and now - row.changed > timedelta(days=1)]:
        if megabytes is not None and size > megabytes * 1e6:
            old.append(each)
            size -= each.bytes
    gone, notes = [], []
    for each in old:
        if running and (each.what == "client state" or each.run in running):
            notes.append(f"{each.run}: {each.what} stays, since job {running[0]} runs here")
            continue
        try:
            if not dry:
                _delete(each)
            gone.append(each)
        except Refused as error:
            notes.append(str(error))
    return gone, notes


def _running(kit: Path) -> list[str]:
    return sorted(note.stem for note in (kit / "brainct" / "jobs").glob("*.json"))


def _delete(each: Stored) -> None:
    if each.what == JOB:
        shutil.rmtree(each.folder)
        return
    with checkpoint.lock(each.folder, each.run):
        shutil.rmtree(each.folder)

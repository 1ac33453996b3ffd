"""A site's own files of its runs: their terms, its client state, its replies and its secrets."""

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from brainct.core import serialization
from brainct.core.file_lock import locked
from brainct.core.names import run_name

NOTHING: Mapping[str, Any] = {"client_state": {}, "round": -1, "answers": {}}
"""Of a run in which the site has replied in no round yet; answers: of that round, by step, each with its request's
digest."""

CLOSED, RESTORED = ".closed.json", "restored.json"
"""In a run's folder: the site takes no further part. In the folder of all runs: it lacks those after a backup."""


def close_runs(folder: Path, site: str, backup: str) -> int:
    """Close every run in a folder of client state that was restored from an older backup; return how many.

    Their rounds after the backup may have been answered already: a second answer to one would undo its masks and noise.
    """
    runs = sorted(path for path in folder.glob("*") if path.is_dir())
    for run in runs:
        serialization.write(run / f"{site}{CLOSED}", json.dumps({"backup": backup}).encode(), private=True)
    serialization.write(folder / RESTORED, json.dumps({"backup": backup}).encode(), private=True)
    return len(runs)


def _without_answers(kept: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: value for key, value in kept.items() if key != "answers"}


class StateStore:
    """The files of one site below a folder that outlives the process; below it one folder for each run.

    All of them are readable by their owner alone. The last run's client state is held in memory as well, as long as the
    file is the one that it was read from or written to; its replies are not, since each is as large as the model and a
    process may train a thousand sites.
    """

    def __init__(self, site: str, folder: Path):
        self.site, self.folder = site, folder
        self._held: tuple[Any, Mapping[str, Any]] = (None, NOTHING)

    @contextmanager
    def alone(self, run: str) -> Iterator[None]:
        """While no other process of the site replies in this run: of two at once, each would be the first."""
        with locked(self._file(run, ".lock")):
            yield

    def kept(self, run: str) -> Mapping[str, Any]:
        """The client state of a run, and the last round in which the site replied."""
        now = self._written(run)
        if self._held[0] != (run, now):
            self._held = ((run, now), _without_answers(self._stored(run) if now else NOTHING))
        return self._held[1]

    def answers(self, run: str) -> Mapping[str, Any]:
        """The site's replies in that round, by step, each with its request's digest."""
        found: Mapping[str, Any] = self._stored(run)["answers"] if self._written(run) else {}
        return found

    def store(self, run: str, kept: Mapping[str, Any]) -> None:
        """Replace what `kept` gives, in one step."""
        serialization.write(self._file(run, ".safetensors"), serialization.pack(kept), private=True)
        self._held = ((run, self._written(run)), _without_answers(kept))

    def terms(self, run: str) -> dict[str, Any] | None:
        """The run's terms, as the site fixed them at the roll call; None before."""
        return self._read(self._file(run, ".terms.json"))

    def fix(self, run: str, terms: Mapping[str, Any]) -> None:
        """Fix the run's terms."""
        self._write(self._file(run, ".terms.json"), terms)

    def shared(self, run: str) -> dict[str, Any] | None:
        """The workload's shared values, as the run's first request for training or scores had them; None before."""
        return self._read(self._file(run, ".shared.json"))

    def fix_shared(self, run: str, shared: Mapping[str, Any]) -> None:
        """Note the workload's shared values."""
        self._write(self._file(run, ".shared.json"), shared)

    def scores(self, run: str) -> dict[str, Any]:
        """Each evaluation of the run so far, by fold and round: its request's digest, and the scores."""
        return self._read(self._file(run, ".scores.json")) or {}

    def note_scores(self, run: str, scores: Mapping[str, Any]) -> None:
        """Replace what `scores` gives."""
        self._write(self._file(run, ".scores.json"), scores)

    def closed(self, run: str, new: bool) -> str:
        """Why the site takes no further part in a run, in a clause; empty if it does. new: the run begins now."""
        found = self._read(self._file(run, CLOSED))
        if found is None and not new and self.terms(run) is None:
            found = self._read(self.folder / RESTORED)
        return (
            f"its state was restored from a backup of {found['backup']}, before the run's last round" if found else ""
        )

    def run_secret(self, run: str) -> bytes:
        """32 bytes from the machine's own randomness, drawn once in a run."""
        return self._secret(self._file(run, ".secret"))

    def site_secret(self) -> bytes:
        """32 bytes from the machine's own randomness, drawn once for all runs of the site."""
        return self._secret(self.folder / f"{self.site}.secret")

    def forget(self, run: str) -> None:
        """Remove all files of a run."""
        for suffix in (".safetensors", ".terms.json", ".shared.json", ".scores.json", ".secret"):
            self._file(run, suffix).unlink(missing_ok=True)
        self._held = (None, NOTHING)

    def _stored(self, run: str) -> Mapping[str, Any]:
        return {**NOTHING, **serialization.load(self._file(run, ".safetensors"))}

    def _written(self, run: str) -> tuple[int, ...]:
        """Identifies the file of a run's client state: another process may replace it; () for none."""
        file = self._file(run, ".safetensors")
        found = file.stat() if file.exists() else None
        return (found.st_ino, found.st_mtime_ns, found.st_size) if found else ()

    def _file(self, run: str, suffix: str) -> Path:
        return self.folder / run_name(run) / f"{self.site}{suffix}"

    def _secret(self, file: Path) -> bytes:
        if not file.exists():
            serialization.write(file, secrets.token_bytes(32), private=True)
        return file.read_bytes()

    def _read(self, file: Path) -> dict[str, Any] | None:
        found: dict[str, Any] | None = json.loads(file.read_text()) if file.exists() else None
        return found

    def _write(self, file: Path, content: Mapping[str, Any]) -> None:
        serialization.write(file, json.dumps(content).encode(), private=True)

"""Does the runs of a design, each in a process of its own, and writes each into the ledger the moment it ends."""

import multiprocessing.connection
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from brainct.compare import ledger
from brainct.compare.design import Design, Spec, wanted
from brainct.compare.ledger import Row
from brainct.compare.one_run import failed, run, sentence
from brainct.core.determinism import one_thread
from brainct.ct.config import ct_choices
from brainct.errors import Refused
from brainct.site.worker import cause, context
from brainct.training.data import Dataset

LEDGER = "ledger.jsonl"
Log = Callable[[str], None]
PERIOD = 1.0
"""Seconds between two looks at whether to stop."""
HELD = 2
"""Federations whose scans are held in memory at a time."""


def compare(design: Design, folder: Path, workers: int = 1, accept: Collection[str] = (), log: Log = print) -> int:
    """Do what a design asks for and the ledger below this folder does not have yet; returns how many runs failed.

    workers: runs at a time, each in a process with one thread. accept: beginnings of code hashes whose rows count as
    done, though the code has changed since. A run that failed in an earlier call is tried again.
    """
    if workers < 1:
        raise Refused(f"--workers is {workers}; wanted at least 1")
    one_thread()
    path = folder / LEDGER
    before = ledger.read(path)
    found = Ended((row for row in before if row.status == "done"), accept)
    _say_what_is_there(design, found, log)
    Session(design, path, workers, found, log, len(before))()
    return sum(row.status == "failed" for spec in wanted(design, found) if (row := found(spec)))


class Ended:
    """The runs that have ended, by key; rows of accepted codes stand in for those of today's code."""

    def __init__(self, rows: Iterable[Row], accept: Collection[str] = ()):
        self._rows: dict[str, list[Row]] = {}
        self._accept = tuple(accept)
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        """One more run has ended."""
        self._rows.setdefault(row.key, []).append(row)

    def __call__(self, spec: Spec) -> Row | None:
        """The row of this run, one that is done before one that failed; None if it has not ended."""
        rows = self._rows.get(spec.key, [])
        mine = [row for row in rows if row.code == spec.code or row.code.startswith(self._accept)]
        done = [row for row in mine if row.status == "done"]
        return done[0] if done else mine[-1] if mine else None

    def codes(self, spec: Spec) -> set[str]:
        """Of which code there are rows of this run."""
        return {row.code for row in self._rows.get(spec.key, [])}


def _say_what_is_there(design: Design, found: Ended, log: Log) -> None:
    specs = wanted(design, found)
    done = sum(row.status == "done" for spec in specs if (row := found(spec)))
    log(f"{len(specs)} runs, {done} of them done already")
    strange: dict[str, int] = {}
    for spec in specs:
        if found(spec) is None:
            for code in found.codes(spec):
                strange[code] = strange.get(code, 0) + 1
    for code, count in sorted(strange.items()):
        log(
            f"{count} of them were computed by other code, {code[:12]}, and are done again; "
            f"to count them as done: --accept {code[:12]}"
        )


@dataclass
class Session:
    """Starts runs until none is left."""

    design: Design
    path: Path
    workers: int
    found: "Ended"
    log: Log
    lines: int
    _busy: dict[int, tuple[BaseProcess, Spec, float]] = field(default_factory=dict)
    _opened: dict[tuple[object, ...], Mapping[str, Dataset]] = field(default_factory=dict)
    _tried: set[str] = field(default_factory=set)
    _seconds: float = 0.0
    _work: float = 0.0

    def __call__(self) -> None:
        """All runs; whatever ends this early, the runs that are under way end with it."""
        try:
            with _heeding() as stopped:
                self._all(stopped)
        finally:
            for process, _, _ in self._busy.values():
                process.terminate()
            for process, _, _ in self._busy.values():
                process.join()

    def _all(self, stopped: Callable[[], bool]) -> None:
        while (spec := self._next()) or self._busy:
            if stopped():
                raise KeyboardInterrupt
            if spec is None or len(self._busy) == self.workers:
                self._wait(stopped)
            else:
                self._start(spec)

    def _next(self) -> Spec | None:
        return next(iter(self._left()), None)

    def _left(self) -> list[Spec]:
        return [
            spec for spec in wanted(self.design, self.found) if spec.key not in self._tried and not self.found(spec)
        ]

    def _start(self, spec: Spec) -> None:
        self._tried.add(spec.key)
        opened = self._open(spec)
        if opened is None:
            return
        process = context(threads=False).Process(target=_child, args=(spec, opened, self.path, os.getpid()))  # type: ignore[attr-defined]
        process.start()
        self._busy[process.sentinel] = (process, spec, time.monotonic())

    def _open(self, spec: Spec) -> Mapping[str, Dataset] | None:
        """The scans, made once for all runs on them; where they can't be opened, the run has failed."""
        network = ct_choices(spec.plan).network
        key = (spec.federation.digest, spec.seed, network.size, network.dims)
        try:
            if key not in self._opened:
                for old in list(self._opened)[: 1 - HELD]:
                    del self._opened[old]
                self._opened[key] = spec.federation.open(spec.seed, network.size, network.dims)
        except Exception as error:  # scans that can't be read must not end the runs on others
            self._note(spec, failed(spec, sentence(error)))
            return None
        return self._opened[key]

    def _wait(self, stopped: Callable[[], bool]) -> None:
        """Until a run has ended, or somebody asked to stop."""
        ready: list[Any] = []
        while not ready and not stopped():
            ready = multiprocessing.connection.wait(list(self._busy), PERIOD)
        for sentinel in [one for one in self._busy if one in ready]:
            process, spec, began = self._busy.pop(sentinel)
            process.join()
            self._seconds += time.monotonic() - began
            self._work += spec.work
            if row := self._written(spec):
                self._report(spec, row)
            else:
                self._note(spec, failed(spec, f"its process {cause(process.exitcode)}"))

    def _written(self, spec: Spec) -> Row | None:
        """The row that the run's own process wrote."""
        return next((row for row in ledger.read(self.path)[self.lines :] if row.key == spec.key), None)

    def _note(self, spec: Spec, row: Row) -> None:
        ledger.append(self.path, row)
        self._report(spec, row)

    def _report(self, spec: Spec, row: Row) -> None:
        self.found.add(row)
        left = self._left()
        mean = row.mean()
        result = f"AUROC {mean:.3f}" if mean is not None else f"failed: {row.error}" if row.error else "no AUROC"
        self.log(f"{spec}: {result}, {row.times.wall:.0f} s; {len(left)} to start{self._remaining(left)}")

    def _remaining(self, left: list[Spec]) -> str:
        if not self._work or not left:
            return ""
        under_way = sum(spec.work for _, spec, _ in self._busy.values()) / 2
        work = sum(spec.work for spec in left) + under_way
        minutes = self._seconds / self._work * work / self.workers / 60
        return f", about {minutes:.0f} min" if minutes < 120 else f", about {minutes / 60:.1f} h"


@contextmanager
def _heeding() -> Iterator[Callable[[], bool]]:
    """Whether somebody pressed Ctrl-C: Python drops the exception where it falls into a hook that runs at a fork."""
    before, asked = signal.getsignal(signal.SIGINT), list[int]()
    if before is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def handler(number: int, _: object) -> None:
        asked.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, handler)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)


def _child(spec: Spec, opened: Mapping[str, Dataset], path: Path, parent: int) -> None:
    """A run's process: it writes its own row, so that a run that ended is never lost; an orphan stops after a round."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    def closed(_: object) -> None:
        if os.getppid() != parent:
            sys.exit(1)

    ledger.append(path, run(spec, opened, closed))

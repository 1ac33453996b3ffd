"""Does the runs of a comparison, each in its own process, and writes each into the ledger the moment it ends."""

import multiprocessing.connection
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from brainct.compare.comparison import Comparison
from brainct.compare.ended_runs import EndedRuns
from brainct.compare.ledger import LEDGER, append_row, read_rows
from brainct.compare.one_run import describe_error, failed_row, run_one
from brainct.compare.planned_runs import PlannedRun, planned_runs
from brainct.compare.run_row import RunRow
from brainct.core.determinism import one_thread
from brainct.errors import Refused
from brainct.site.worker import cause, context
from brainct.training.data import Dataset

Log = Callable[[str], None]
POLL_SECONDS = 1.0
"""Seconds between two checks for an interrupt."""
OPEN_FEDERATIONS = 2
"""Federations whose scans are in memory at a time."""


def compare(
    comparison: Comparison,
    folder: Path,
    workers: int = 1,
    accept: Collection[str] = (),
    log: Log = print,
    cluster: str | None = None,
) -> int:
    """Do the runs of a comparison that the ledger in this folder lacks; returns how many runs failed.

    workers: runs at a time, each in a process with one thread. accept: beginnings of code hashes whose rows count as
    done although the code has changed. cluster: where Dask does the runs, see `cluster.client_of`; None for processes
    of this machine. A run that failed in an earlier call is tried again.
    """
    if workers < 1:
        raise Refused(f"--workers is {workers}; wanted at least 1")
    one_thread()
    path = folder / LEDGER
    before = read_rows(path)
    ended = EndedRuns((row for row in before if row.status == "done"), accept)
    _log_start(comparison, ended, log)
    campaign = Campaign(comparison, path, workers, ended, log, len(before))
    if cluster is None:
        campaign()
    else:
        from brainct.compare.cluster import client_of, do_runs

        with client_of(cluster, workers, log) as client:
            do_runs(campaign, client)
    return sum(row.status == "failed" for run in planned_runs(comparison, ended) if (row := ended(run)))


def _log_start(comparison: Comparison, ended: EndedRuns, log: Log) -> None:
    runs = planned_runs(comparison, ended)
    done = sum(row.status == "done" for run in runs if (row := ended(run)))
    log(f"{len(runs)} runs, {done} of them done already")
    outdated: dict[str, int] = {}
    for run in runs:
        for code in ended.codes(run) if ended(run) is None else ():
            outdated[code] = outdated.get(code, 0) + 1
    for code, count in sorted(outdated.items()):
        log(
            f"{count} of them were computed by other code, {code[:12]}, and are done again; "
            f"to count them as done: --accept {code[:12]}"
        )


@dataclass
class Campaign:
    """Starts the runs that are left, so many at a time. lines: rows of the ledger before the first of them.

    tried: keys of the runs that were started.
    """

    comparison: Comparison
    path: Path
    workers: int
    ended: EndedRuns
    log: Log
    lines: int
    _busy: dict[int, tuple[BaseProcess, PlannedRun, float]] = field(default_factory=dict)
    _opened: dict[tuple[object, ...], Mapping[str, Dataset]] = field(default_factory=dict)
    tried: set[str] = field(default_factory=set)
    _seconds: float = 0.0
    _work: float = 0.0

    def __call__(self) -> None:
        """Do all runs; if this ends early, the runs that are under way end too."""
        try:
            with _watch_for_interrupt() as interrupted:
                self._do_all(interrupted)
        finally:
            for process, _, _ in self._busy.values():
                process.terminate()
            for process, _, _ in self._busy.values():
                process.join()

    def _do_all(self, interrupted: Callable[[], bool]) -> None:
        while (run := next(iter(self.left()), None)) or self._busy:
            if interrupted():
                raise KeyboardInterrupt
            if run is None or len(self._busy) == self.workers:
                self._wait(interrupted)
            else:
                self._start(run)

    def left(self) -> list[PlannedRun]:
        """The runs that are known so far and were not started."""
        runs = planned_runs(self.comparison, self.ended)
        return [run for run in runs if run.key not in self.tried and not self.ended(run)]

    def _start(self, run: PlannedRun) -> None:
        self.tried.add(run.key)
        opened = self._open(run)
        if opened is None:
            return
        process = context(run.plan).Process(target=_run_in_process, args=(run, opened, self.path, os.getpid()))  # type: ignore[attr-defined]
        process.start()
        self._busy[process.sentinel] = (process, run, time.monotonic())

    def _open(self, run: PlannedRun) -> Mapping[str, Dataset] | None:
        """The scans, made once for all runs on them; if they can't be opened, the run has failed."""
        key = (run.federation.digest, run.seed, *run.federation.opened_for(run.plan))
        try:
            if key not in self._opened:
                for old in list(self._opened)[: 1 - OPEN_FEDERATIONS]:
                    del self._opened[old]
                self._opened[key] = run.federation.open(run.seed, run.plan)
        except Exception as error:  # scans that can't be read must not end the runs on others
            self._add_failure(run, describe_error(error))
            return None
        return self._opened[key]

    def _wait(self, interrupted: Callable[[], bool]) -> None:
        """Wait until a run has ended, or for an interrupt."""
        ready: list[Any] = []
        while not ready and not interrupted():
            ready = multiprocessing.connection.wait(list(self._busy), POLL_SECONDS)
        for sentinel in [one for one in self._busy if one in ready]:
            process, run, began = self._busy.pop(sentinel)
            process.join()
            self._seconds += time.monotonic() - began
            self._work += run.work
            if row := self._row_of(run):
                self._report(run, row)
            else:
                self._add_failure(run, f"its process {cause(process.exitcode)}")

    def _row_of(self, run: PlannedRun) -> RunRow | None:
        """The row that the run's own process wrote."""
        return next((row for row in read_rows(self.path)[self.lines :] if row.key == run.key), None)

    def _add_failure(self, run: PlannedRun, reason: str) -> None:
        self.add(run, failed_row(run, reason))

    def add(self, run: PlannedRun, row: RunRow) -> None:
        """Write the row of a run that has ended into the ledger, and say so."""
        append_row(self.path, row)
        self._report(run, row)

    def _report(self, run: PlannedRun, row: RunRow) -> None:
        self.ended.add(row)
        left = self.left()
        mean = row.mean()
        name = row.measure.title
        result = f"{name} {mean:.3f}" if mean is not None else f"failed: {row.error}" if row.error else f"no {name}"
        self.log(f"{run}: {result}, {row.times.wall:.0f} s; {len(left)} to start{self._remaining_time(left)}")

    def _remaining_time(self, left: list[PlannedRun]) -> str:
        if not self._work or not left:
            return ""
        under_way = sum(run.work for _, run, _ in self._busy.values()) / 2
        work = sum(run.work for run in left) + under_way
        minutes = self._seconds / self._work * work / self.workers / 60
        return f", about {minutes:.0f} min" if minutes < 120 else f", about {minutes / 60:.1f} h"


@contextmanager
def _watch_for_interrupt() -> Iterator[Callable[[], bool]]:
    """Gives whether Ctrl-C was pressed: Python drops the exception where it is raised in a hook that runs at a fork."""
    before, received = signal.getsignal(signal.SIGINT), list[int]()
    if before is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def handler(number: int, _: object) -> None:
        received.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, handler)
    try:
        yield lambda: bool(received)
    finally:
        signal.signal(signal.SIGINT, before)


def _run_in_process(run: PlannedRun, opened: Mapping[str, Dataset], path: Path, parent: int) -> None:
    """One run's process: it writes its own row, so that no finished run is lost; an orphan stops after a round."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    def stop_orphan(_: object) -> None:
        if os.getppid() != parent:
            sys.exit(1)

    append_row(path, run_one(run, opened, stop_orphan))

"""One exchange's replies: who replied, who was lost and why, and when to stop waiting."""

import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from brainct.core import serialization
from brainct.core.names import reasons_of
from brainct.core.report_check import check_report
from brainct.core.scheme import Report, Scheme, Task
from brainct.core.weights import nbytes
from brainct.errors import Refused, one_line
from brainct.protocol.replies import Update, failure_in, reply_of_plain

T = TypeVar("T")
SLACK, FLOOR = 3.0, 30.0
"""How long to wait for a straggler, see Inbox; a trainer that was killed is back within FLOOR seconds."""
EXTRA = 2**20
"""Bytes that a report may have in addition to its weights, and as many more as its task's weights have."""
IN_MEMORY = 256 * 2**20
"""Bytes of reports that a round holds in memory; the others wait on disk."""


class TooFew(Refused):
    """Fewer replies came than the quorum."""


class Inbox(Generic[T]):
    """Collects one reply from each site that was asked; safe to fill from several threads.

    name: of the exchange. read: turns a site's message into what the round wants, or refuses it; a refusal, the site's
    own (`error` in its message) or the reader's, loses that site by name and with the reason, and the round continues
    by its quorum. deadline, grace: seconds, see job.config.Plan. late: sites that missed the exchange before; the round
    does not wait for them once all others replied. silent: sites that sent no reply at all, not even a refused one.
    seconds: after which each reply was there. A reply to another exchange comes too late and is not used, but its site
    is waited for again.
    slowest: seconds that a site's slowest recent reply took, if known. Once the quorum is met, after t seconds, a
    missing site is waited for until SLACK max(its slowest, t) + FLOOR, and at most until t + grace.
    """

    def __init__(
        self,
        name: str,
        asked: Sequence[str],
        quorum: int,
        read: Callable[[str, Any], T],
        deadline: float = 600.0,
        grace: float = 60.0,
        late: Collection[str] = (),
    ):
        self.name, self.asked, self.quorum, self.read = name, sorted(asked), quorum, read
        self.deadline, self.grace, self.late = deadline, grace, set(late)
        self.slowest: dict[str, float] = {}
        self.replies: dict[str, T] = {}
        self.lost: dict[str, str] = {}
        self.received: dict[str, int] = {}
        self.seconds: dict[str, float] = {}
        self.silent: set[str] = set(self.asked)
        self._lock = threading.Lock()
        self._opened = time.monotonic()
        self._quorum_after: float | None = None
        self._closed = False

    def accept(self, site: str, message: Any) -> bool:
        """Take a site's reply, as plain data; false, with the reason in `lost`, where it is refused."""
        with self._lock:
            if self._closed:
                return False
            exchange = message.get("exchange", self.name) if isinstance(message, Mapping) else self.name
            if site not in self.asked:
                self.lost[site] = f"{site} was not asked in {self.name}; its reply is not used"
            elif exchange != self.name:
                self.lost[f"{site} (late)"] = one_line(
                    f"its reply to {one_line(exchange):.40} came in {self.name} and is not used"
                )
                self._wait_again(site)
            elif site in self.replies:
                self.lost[f"{site} (again)"] = f"{site} replied twice in {self.name}; the first reply counts"
            else:
                self.silent.discard(site)
                self._read(site, message)
                return site in self.replies
            return False

    def mark_fetched(self, site: str) -> None:
        """Note that a site took its request: one that was late is back, and waited for again."""
        with self._lock:
            if site in self.late:
                self._wait_again(site)

    def _wait_again(self, site: str) -> None:
        self.late.discard(site)
        self.slowest.pop(site, None)

    def mark_lost(self, site: str, reason: str) -> None:
        """Note that a site will not reply in this exchange."""
        with self._lock:
            if site not in self.replies:
                self.lost.setdefault(site, one_line(reason))

    def missing(self) -> list[str]:
        """Sites that may still reply."""
        return [site for site in self.asked if site not in self.replies and site not in self.lost]

    def closed(self) -> bool:
        """Whether waiting is over: all are in, or enough are and the others had their time, or the deadline passed."""
        with self._lock:
            after, missing = time.monotonic() - self._opened, self.missing()
            if not missing or after >= self.deadline:
                return True
            if self._quorum_after is None and len(self.replies) >= max(self.quorum, 1):
                self._quorum_after = after
            enough = len(self.replies) >= self.quorum
            return enough and after >= max(self._waits_for(site) for site in missing)

    def _waits_for(self, site: str) -> float:
        """Seconds after the opening until which a missing site is waited for, once the quorum is met."""
        learned = SLACK * max(self.slowest.get(site, math.inf), self._quorum_after or 0.0) + FLOOR
        if self._quorum_after is None:  # quorum 0 and no reply yet: a late site may not have taken its request
            return min(FLOOR, learned) if site in self.late else learned
        return 0.0 if site in self.late else min(self._quorum_after + self.grace, learned)

    def close(self) -> dict[str, T]:
        """The replies sorted by site; refused when they are fewer than the quorum. No reply is taken afterwards."""
        with self._lock:
            self._closed = True
            for site in self.missing():
                self.lost[site] = "no reply in time"
            if len(self.replies) < self.quorum:
                got = f"{len(self.replies)} of {len(self.asked)} sites replied, the quorum is {self.quorum}"
                raise TooFew(f"{self.name} can't be closed: {got}. {'; '.join(reasons_of(self.lost))}")
            return {site: self.replies[site] for site in self.asked if site in self.replies}

    def _read(self, site: str, message: Any) -> None:
        whose = f"{site}, {self.name}"
        try:
            if failure := failure_in(message, whose):
                raise Refused(failure.reason)
            received = _size(message, whose)
            reply = self.read(site, message)
        except Refused as error:
            self.lost[site] = one_line(error)
        except Exception as error:  # whatever a site sends costs that site one round, and no other site the run
            self.lost[site] = f"{whose}: its reply can't be read ({type(error).__name__})"
        else:
            self.replies[site], self.received[site] = reply, received
            self.seconds[site] = time.monotonic() - self._opened
            self.lost.pop(site, None)


def _size(value: Any, whose: str) -> int:
    try:
        return serialization.size(value)
    except Refused as error:
        raise Refused(f"{whose}: {error}") from None


class Reports(Mapping[str, Report]):
    """A round's reports sorted by site; beyond IN_MEMORY bytes their weights are in a folder and read when needed."""

    def __init__(self, folder: Path, limit: int = IN_MEMORY):
        self._folder, self._limit, self._held = folder, limit, 0
        self._reports: dict[str, Report] = {}

    def put(self, site: str, report: Report) -> Report:
        """Add a report; returns it as it is held."""
        self._held += serialization.size(report.weights)
        if self._held > self._limit:
            path = self._folder / f"{len(self._reports)}.safetensors"
            report = Report(serialization.OnDisk(path, report.weights), report.examples, report.metrics, report.extra)
        self._reports[site] = report
        return report

    def clear(self) -> None:
        """Remove the files."""
        for path in self._folder.glob("*.safetensors"):
            path.unlink()

    def __getitem__(self, site: str) -> Report:
        return self._reports[site]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._reports))

    def __len__(self) -> int:
        return len(self._reports)


def report_reader(
    tasks: Mapping[str, Task], scheme: Scheme, reports: Reports, name: str
) -> Callable[[str, Any], Report]:
    """A reader that takes a site's message as a Report only if it is one and fits its task. name: of the exchange."""

    def read(site: str, message: Any) -> Report:
        whose = f"{site}, {name}"
        update = reply_of_plain(message, Update, whose)
        report = Report(update.weights, update.examples, update.metrics, update.extra)
        extra, room = _size([report.metrics, report.extra], whose), EXTRA + nbytes(tasks[site].weights)
        if extra > room:
            raise Refused(f"{whose}: {extra:,} bytes came in addition to the weights; wanted at most {room:,}")
        try:
            check_report(report, tasks[site], scheme, whose)
        except Refused:
            raise
        except Exception as error:  # a scheme does not foresee every value that a Byzantine site may send
            raise Refused(f"{whose}: the report can't be read ({type(error).__name__})") from None
        return reports.put(site, report)

    return read

"""One exchange's replies: the guard at the door, who answered, who was lost and why, and when to stop waiting."""

import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from brainct.core import serialization
from brainct.core.report_check import check_report
from brainct.core.scheme import Report, Scheme, Task
from brainct.core.weights import nbytes
from brainct.errors import Refused, one_line

T = TypeVar("T")
SLACK, FLOOR = 3.0, 30.0
"""See Inbox: how long a site is waited for that others were quicker than; a killed trainer is back within FLOOR."""
BESIDE = 2**20
"""Bytes that a report may have beside its weights, and as many more as its task's weights have."""
IN_MEMORY = 256 * 2**20
"""Bytes of reports that a round holds in memory; what comes on top waits on disk."""


class TooFew(Refused):
    """Fewer answers came than the quorum."""


class Inbox(Generic[T]):
    """Collects one answer from each site that was asked; safe to fill from several threads.

    read: turns a site's raw answer into what the round wants, or refuses it; a refusal, the site's own (`error` in its
    answer) or the reader's, loses that site by name and with the reason, and the round goes on by its quorum.
    deadline, grace: seconds, see plan.Plan. late: sites that missed the exchange before; the round does not wait for
    them once all others answered. silent: sites asked that gave no answer at all, not even a refused one. seconds:
    after which each answer was there. An answer to another exchange than `what` comes too late and is not used, but its
    site is waited for again.
    slowest: seconds that a site's slowest earlier answer took, if known. With the quorum met, such a site is waited for
    until SLACK times its slowest, or SLACK times what the quorum took if that is longer, and FLOOR seconds have passed;
    all others, and none longer, for the grace.
    """

    def __init__(
        self,
        what: str,
        asked: Sequence[str],
        quorum: int,
        read: Callable[[str, Any], T],
        deadline: float = 600.0,
        grace: float = 60.0,
        late: Collection[str] = (),
    ):
        self.what, self.asked, self.quorum, self.read = what, sorted(asked), quorum, read
        self.deadline, self.grace, self.late = deadline, grace, set(late)
        self.slowest: dict[str, float] = {}
        self.answers: dict[str, T] = {}
        self.lost: dict[str, str] = {}
        self.received: dict[str, int] = {}
        self.seconds: dict[str, float] = {}
        self.silent: set[str] = set(self.asked)
        self._lock = threading.Lock()
        self._opened = time.monotonic()
        self._enough_after: float | None = None
        self._shut = False

    def accept(self, site: str, answer: Any) -> bool:
        """Take a site's answer in; false, with the reason in `lost`, where it is refused."""
        with self._lock:
            if self._shut:
                return False
            exchange = answer.get("exchange", self.what) if isinstance(answer, Mapping) else self.what
            if site not in self.asked:
                self.lost[site] = f"{site} was not asked in {self.what}; its answer is not used"
            elif exchange != self.what:
                self.lost[f"{site} (late)"] = one_line(
                    f"its answer to {one_line(exchange):.40} came in {self.what} and is not used"
                )
                self._wait_again(site)
            elif site in self.answers:
                self.lost[f"{site} (again)"] = f"{site} answered twice in {self.what}; the first answer counts"
            else:
                self.silent.discard(site)
                self._take(site, answer)
                return site in self.answers
            return False

    def fetched(self, site: str) -> None:
        """Note that a site took its order: one that was late is back, and waited for again."""
        with self._lock:
            if site in self.late:
                self._wait_again(site)

    def _wait_again(self, site: str) -> None:
        self.late.discard(site)
        self.slowest.pop(site, None)

    def lose(self, site: str, reason: str) -> None:
        """Note that a site will not answer in this exchange."""
        with self._lock:
            if site not in self.answers:
                self.lost.setdefault(site, one_line(reason))

    def missing(self) -> list[str]:
        """Sites that may still answer."""
        return [site for site in self.asked if site not in self.answers and site not in self.lost]

    def closed(self) -> bool:
        """Whether waiting is over: all are in, or enough are and the others had their time, or the deadline passed."""
        with self._lock:
            after, missing = time.monotonic() - self._opened, self.missing()
            if not missing or after >= self.deadline:
                return True
            if self._enough_after is None and len(self.answers) >= max(self.quorum, 1):
                self._enough_after = after
            enough = len(self.answers) >= self.quorum
            return enough and after >= max(self._waits_for(site) for site in missing)

    def _waits_for(self, site: str) -> float:
        """Seconds after the opening until which a missing site is waited for, once the quorum is met."""
        learned = SLACK * max(self.slowest.get(site, math.inf), self._enough_after or 0.0) + FLOOR
        if self._enough_after is None:  # a quorum of none, and none is in: a late one may have its order still to take
            return min(FLOOR, learned) if site in self.late else learned
        return 0.0 if site in self.late else min(self._enough_after + self.grace, learned)

    def close(self) -> dict[str, T]:
        """The answers sorted by site; refused when they are fewer than the quorum. Nothing is taken in afterwards."""
        with self._lock:
            self._shut = True
            for site in self.missing():
                self.lost[site] = "no answer in time"
            if len(self.answers) < self.quorum:
                reasons = "; ".join(f"{site}: {reason}" for site, reason in sorted(self.lost.items()))
                got = f"{len(self.answers)} of {len(self.asked)} sites answered, the quorum is {self.quorum}"
                raise TooFew(f"{self.what} can't be closed: {got}. {reasons}")
            return {site: self.answers[site] for site in self.asked if site in self.answers}

    def _take(self, site: str, answer: Any) -> None:
        try:
            if not isinstance(answer, Mapping):
                raise Refused(f"{site}, {self.what}: the answer is a {type(answer).__name__}; wanted values by name")
            if "error" in answer:
                raise Refused(one_line(answer["error"]))
            received = _size(answer, f"{site}, {self.what}")
            found = self.read(site, answer)
        except Refused as error:
            self.lost[site] = one_line(error)
        except Exception as error:  # whatever a site sends costs that site one round, and no other site the run
            self.lost[site] = f"{site}, {self.what}: its answer can't be read ({type(error).__name__})"
        else:
            self.answers[site], self.received[site] = found, received
            self.seconds[site] = time.monotonic() - self._opened
            self.lost.pop(site, None)


def _size(answer: Any, whose: str) -> int:
    try:
        return serialization.size(answer)
    except Refused as error:
        raise Refused(f"{whose}: {error}") from None


class Reports(Mapping[str, Report]):
    """A round's reports sorted by site; beyond IN_MEMORY bytes their weights lie in a folder and come when asked."""

    def __init__(self, folder: Path, limit: int = IN_MEMORY):
        self._folder, self._limit, self._held = folder, limit, 0
        self._reports: dict[str, Report] = {}

    def put(self, site: str, report: Report) -> Report:
        """Hold a report; returns what is held."""
        self._held += serialization.size(report.weights)
        if self._held > self._limit:
            path = self._folder / f"{len(self._reports)}.safetensors"
            report = Report(serialization.OnDisk(path, report.weights), report.examples, report.metrics, report.extra)
        self._reports[site] = report
        return report

    def clear(self) -> None:
        """Remove what lies on disk."""
        for path in self._folder.glob("*.safetensors"):
            path.unlink()

    def __getitem__(self, site: str) -> Report:
        return self._reports[site]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._reports))

    def __len__(self) -> int:
        return len(self._reports)


def report_reader(
    tasks: Mapping[str, Task], scheme: Scheme, reports: Reports, what: str
) -> Callable[[str, Any], Report]:
    """A reader that lets a site's raw answer in as a Report only if it is one and fits its task."""

    def read(site: str, answer: Any) -> Report:
        whose = f"{site}, {what}"
        try:
            report = Report(answer["weights"], answer["examples"], answer["metrics"], answer["extra"])
        except (KeyError, TypeError) as error:
            raise Refused(f"{whose}: the report lacks {error}; is it another version of brainct?") from None
        beside, room = _size([report.metrics, report.extra], whose), BESIDE + nbytes(tasks[site].weights)
        if beside > room:
            raise Refused(f"{whose}: {beside:,} bytes came beside the weights; wanted at most {room:,}")
        try:
            check_report(report, tasks[site], scheme, whose)
        except Refused:
            raise
        except Exception as error:  # what a scheme makes of values that no site of ours sends is not foreseen
            raise Refused(f"{whose}: the report can't be read ({type(error).__name__})") from None
        return reports.put(site, report)

    return read

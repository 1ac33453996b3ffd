"""One exchange of a run: a request to each site, the replies that came in time, and who was lost."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from brainct.core import serialization
from brainct.core.names import reasons_of
from brainct.core.scheme import Report, Scheme, Task
from brainct.errors import Refused
from brainct.job.config import Plan
from brainct.protocol.reply_schema import described, scored
from brainct.protocol.requests import DescribeRequest, EvaluateRequest, Request, TrainRequest, task_to_plain
from brainct.run.inbox import Inbox, Reports, TooFew, report_reader
from brainct.run.record import RecordWriter
from brainct.run.roll_call import check_package

FOLLOW_UP = "follow-up"
LAST = 5
"""How many of a site's last reports count when a round decides how long to wait for it."""


class Transport(Protocol):
    """Brings requests to sites and puts their replies into the inbox; returns when the inbox is closed."""

    def __call__(self, requests: Mapping[str, Request], inbox: Inbox[Any]) -> None: ...


@dataclass(frozen=True)
class ExchangeResult:
    """A closed exchange, by site: its report, bytes sent and received, why it was lost, seconds that it took."""

    reports: Reports
    sent: Mapping[str, int] = field(default_factory=dict)
    received: Mapping[str, int] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


class Exchanges:
    """All exchanges of one run. shared: what the workload gives every site's learner, sent with each model.

    absent: by site that the roll call lacks, why; it is asked again in place of each task until it answers. admit:
    refuses the description of one that answered later where it can't take part. joined: descriptions of those that can,
    from the next round on.
    """

    def __init__(
        self,
        plan: Plan,
        scheme: Scheme,
        sites: Sequence[str],
        name: str,
        transport: Transport,
        record: RecordWriter,
        log: Callable[[str], None],
    ):
        self.plan, self.scheme, self.sites, self.transport = plan, scheme, sites, transport
        self.record, self.log = record, log
        self.shared: Mapping[str, Any] = {}
        self.absent: dict[str, str] = {}
        self.joined: dict[str, Mapping[str, Any]] = {}
        self.admit: Callable[[str, Mapping[str, Any]], None] = lambda site, about: None
        self._late: set[str] = set()
        self._seconds: dict[str, deque[float]] = {}
        self._looked_at = 0
        self._common: Mapping[str, Any] = {"run": name, "sites": tuple(sites), "plan": plan.model_dump()}

    def describe(self) -> dict[str, Any]:
        """The roll call: the description of every site, or of as many as the plan's `roll_call` wants."""
        name, chosen = "the roll call", self.plan.roll_call
        quorum, wait = (chosen.quorum, chosen.wait) if chosen else (len(self.sites), self.plan.deadline)
        inbox = Inbox(name, self.sites, quorum, self._described, wait, wait, self._late)
        self.transport(dict.fromkeys(self.sites, self._describe(name)), inbox)
        found = inbox.close()
        self.absent = {site: inbox.lost[site] for site in self.sites if site not in found}
        self._late = {site for site in inbox.silent if site in self.absent}
        return found

    def _describe(self, name: str) -> DescribeRequest:
        return DescribeRequest(exchange=name, new=self.record.resumed is None, **self._common)

    def _described(self, site: str, message: Any) -> dict[str, Any]:
        needed = ("public",) * self.scheme.public + ("kept",) * (self.record.resumed is not None)
        about = described(self.plan.kind, site, message, choices=self.plan, needed=needed)
        if self.plan.roll_call:
            check_package({site: about})
        return about

    def train(self, number: int, tasks: Mapping[str, Task], step: int = 0) -> ExchangeResult:
        """A round's tasks; with step 1 those of its follow-up, where the scheme handles too few replies."""
        if not tasks:
            return ExchangeResult(self._reports(step))
        name, reports = f"round {number}" + f", {FOLLOW_UP}" * step, self._reports(step)
        quorum = self.plan.quorum_of(self.scheme, len(tasks), len(self.sites))
        there = {site: task for site, task in tasks.items() if site not in self.absent}
        inbox = self._inbox(name, list(tasks), quorum, self._reader(there, reports, name))
        inbox.slowest = {} if step else self.slowest()
        requests = self._requests(name, number, there, step)
        if len(there) < quorum:
            for site in tasks:
                inbox.mark_lost(site, self.absent.get(site, "not asked, since too few sites are there"))
        else:
            again = self._describe(name)
            self.transport({**requests, **{site: again for site in tasks if site in self.absent}}, inbox)
        try:
            inbox.close()
        except TooFew as few:
            if not step:
                raise
            self.log(str(few))
        for words in reasons_of(inbox.lost, "{} ({})"):
            self.log(f"{name}: lost {words}")
        self._late = (self._late - set(tasks)) | inbox.silent
        return ExchangeResult(reports, _sizes(requests), inbox.received, inbox.lost, inbox.seconds)

    def _reader(self, tasks: Mapping[str, Task], reports: Reports, name: str) -> Callable[[str, Any], Report]:
        """Reads the reports of those that have a task; an absent site that answers joins, and is lost in this round."""
        read = report_reader(tasks, self.scheme, reports, name)

        def reader(site: str, message: Any) -> Report:
            if site in tasks:
                return read(site, message)
            about = self._described(site, message)
            self.admit(site, about)
            self.joined[site] = about
            raise Refused(f"{site} answered the roll call in {name}, and takes part from the next round on")

        return reader

    def evaluate(self, number: int, fold: str, model: Task, of: str = "") -> dict[str, Any]:
        """The scores of the delivered model on the sites' validation or test folds, or of the model that a site sent.

        of: that site. Its model needs no site's answer: a run that has its model does not end for want of these scores.
        """
        name = "the final evaluation" if fold == "test" else f"the evaluation after round {number}"
        name = f"the evaluation of {of}'s model" if of else name
        asked = [site for site in self.sites if site not in self.absent]
        inbox = self._inbox(name, asked, 0 if of else 1, partial(scored, self.plan.kind, choices=self.plan))
        named: dict[str, Any] = {"exchange": name, "round": number, "fold": fold, "shared": self.shared}
        request = EvaluateRequest(task=model, of=of, **named, **self._common)
        self.transport(dict.fromkeys(asked, request), inbox)
        scores = inbox.close()
        for words in reasons_of(inbox.lost, "{} ({})"):
            self.log(f"{name}: without {words}")
        return scores

    def slowest(self) -> dict[str, float]:
        """Seconds that the slowest of each site's last reports took."""
        for row in self.record.rounds[self._looked_at :]:
            for site, after in row.answered.items():
                self._seconds.setdefault(site, deque(maxlen=LAST)).append(after)
        self._looked_at = len(self.record.rounds)
        return {site: max(known) for site, known in self._seconds.items()}

    def _requests(self, name: str, number: int, tasks: Mapping[str, Task], step: int) -> dict[str, TrainRequest]:
        """One request object for all sites whose tasks hold the same objects: it is encoded and hashed once."""
        named: dict[str, Any] = {"exchange": name, "round": number, "step": step, "shared": self.shared, **self._common}
        by_task = {_same(task): TrainRequest(task=task, **named) for task in tasks.values()}
        return {site: by_task[_same(task)] for site, task in tasks.items()}

    def _reports(self, step: int) -> Reports:
        return Reports(self.record.states / f"reports-{step}")

    def _inbox(self, name: str, asked: Sequence[str], quorum: int, read: Any) -> Inbox[Any]:
        return Inbox(name, asked, quorum, read, self.plan.deadline, self.plan.grace, self._late)


def _same(task: Task) -> tuple[int, int]:
    """Equal for two tasks with the very same weights and the same extra, or none; their values are not compared."""
    return id(task.weights), id(task.extra) if task.extra else 0


def _sizes(requests: Mapping[str, TrainRequest]) -> dict[str, int]:
    """Bytes of each site's task."""
    by_request = {id(one): serialization.size(task_to_plain(one.task)) for one in {*requests.values()}}
    return {site: by_request[id(request)] for site, request in requests.items()}

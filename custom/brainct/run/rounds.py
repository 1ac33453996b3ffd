"""The round loop: assign, exchange, guard, combine, close, record; a Carrier, whichever it is, brings the orders."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from brainct.core import serialization
from brainct.core.determinism import generator, one_thread
from brainct.core.learner import Model
from brainct.core.scheme import Memory, Task
from brainct.core.version import fingerprint
from brainct.core.weights import Weights
from brainct.errors import Refused
from brainct.job.config import Plan
from brainct.protocol.reply_schema import described, scored
from brainct.run import checkpoint
from brainct.run.inbox import Inbox, Reports, TooFew, report_reader
from brainct.run.record import RecordWriter

Order = dict[str, Any]
FOLLOW_UP = "follow-up"
LAST = 5
"""Of how many of its last reports a site's slowest counts, when the round asks how long to wait for it."""


class Transport(Protocol):
    """Brings orders to sites and puts their answers into the inbox; returns when the inbox is closed."""

    def __call__(self, orders: Mapping[str, Order], inbox: Inbox[Any]) -> None: ...


@dataclass(frozen=True)
class _Exchange:
    """A closed exchange of a round: by site its report, bytes sent and received, why it was lost, seconds it took."""

    reports: Reports
    sent: Mapping[str, int] = field(default_factory=dict)
    received: Mapping[str, int] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


class Run:
    """One run of a plan over named sites.

    record: closed to disk after each round; a record that resumes a run has the state to go on from. name: the run's,
    by which a site finds what it keeps. initial: weights to start from in place of the seeded ones. secret: mixed into
    the server's own randomness, so that what only the server should know can't be derived from the job's public seed.
    tell: gets the lines that a user should read while the run goes on. closed: gets each closed round's row.
    """

    def __init__(
        self,
        plan: Plan,
        sites: Sequence[str],
        transport: Transport,
        record: RecordWriter,
        *,
        name: str = "run",
        initial: Weights | None = None,
        secret: str = "",
        log: Callable[[str], None] = print,
        closed: Callable[[Mapping[str, Any]], None] = lambda row: None,
    ):
        if len(set(sites)) < len(sites) or not sites:
            raise Refused(f"the federation's sites are {', '.join(sites) or 'none'}; wanted at least one, each once")
        self.plan, self.sites, self.transport, self.record, self.name = plan, sorted(sites), transport, record, name
        self.log, self.closed, self.scheme = log, closed, plan.build()
        self.seed = int(generator(plan.seed, "server", secret).integers(2**62)) if secret else plan.seed
        self.initial = _initial(plan, initial)
        self.shared: Mapping[str, Any] = {}
        self._late: set[str] = set()
        plan.check_sites(len(self.sites))
        one_thread()

    def __call__(self) -> Weights:
        """All rounds, the final evaluation and the record; returns the model for a hospital outside the federation."""
        if self.record.resumed:
            checkpoint.check_job(self.record.resumed, self.plan, self.sites, self.name)
        found = self._roll_call()
        _same_package(found)
        public = _same_public(found) if self.scheme.public else 0
        with checkpoint.lock(self.record.states, self.name):
            if self.record.resumed:
                checkpoint.check_last_copy(self.record.resumed, self.record.states, found, self.name)
            self.shared = self.plan.kind.shared(found, self.plan)
            self.record.open(_without_kept(found))
            return self._rounds(self._begin(public))

    def _roll_call(self) -> dict[str, Any]:
        what = "the roll call"
        needed = ("public",) * self.scheme.public + ("kept",) * (self.record.resumed is not None)
        inbox = self._inbox(what, self.sites, len(self.sites), partial(described, self.plan.kind, needed=needed))
        order = {**self._order("describe", what), "new": self.record.resumed is None}
        self.transport(dict.fromkeys(self.sites, order), inbox)
        found = inbox.close()
        for note, whose in _notes(found).items():
            self.log(f"{', '.join(whose)}: {note}")
        return found

    def _begin(self, public: int) -> Memory:
        """The memory of the last closed round, or the one before round 0."""
        if self.record.resumed:
            self.log(f"run {self.name} goes on after {self.record.closed} of {self.plan.rounds} rounds")
            memory = self.record.resumed.memory
        else:
            memory = self.scheme.start(replace(self.initial, public=public), self.sites, self.seed)
        self.record.checkpoint(memory)
        return memory

    def _rounds(self, memory: Memory) -> Weights:
        for number in range(self.record.closed, self.plan.rounds):
            self._validate(memory, number - 1)
            memory = self._round(memory, number)
        if not any(row.reported for row in self.record.rounds):
            raise Refused("no site's report took part in any round; there is no trained model")
        model = self.scheme.model(memory)
        self.record.finish(model, self._evaluate(memory, self.plan.rounds, "test"), self._extra(memory))
        return model

    def _extra(self, memory: Memory) -> Mapping[str, Any]:
        """What the delivered model needs in addition to its weights: of the scheme, and of the workload."""
        return {**self.scheme.extra(memory), **({"workload": dict(self.shared)} if self.shared else {})}

    def _round(self, memory: Memory, number: int) -> Memory:
        began, tasks = time.monotonic(), dict(self.scheme.assign(memory, number, self.sites))
        first = self._exchange(f"round {number}", number, tasks)
        second = self._follow(memory, number, first)
        reports = {site: replace(first.reports[site], followed=second.reports.get(site)) for site in first.reports}
        memory = self.scheme.combine(memory, number, reports) if reports else memory
        first.reports.clear()
        second.reports.clear()
        self.record.close_round(
            number,
            memory,
            sent=_added(first.sent, second.sent),
            received=_added(first.received, second.received),
            lost={**first.lost, **{f"{site} ({FOLLOW_UP})": reason for site, reason in second.lost.items()}},
            reported=list(reports),
            metrics={site: dict(report.metrics) for site, report in reports.items()},
            answered=first.seconds,
            seconds=time.monotonic() - began,
        )
        self.closed(self.record.rounds[-1].as_json())
        return memory

    def _follow(self, memory: Memory, number: int, first: "_Exchange") -> "_Exchange":
        """The follow-up exchange, if the scheme has one; that few answer in it is for the scheme to judge."""
        tasks = dict(self.scheme.follow(memory, number, first.reports))
        assert tasks.keys() <= set(first.reports), f"{self.scheme.name} follows up on sites that did not reply"
        if not tasks:
            return _Exchange(self._reports(1))
        return self._exchange(f"round {number}, {FOLLOW_UP}", number, tasks, step=1)

    def _reports(self, step: int) -> Reports:
        return Reports(self.record.states / f"reports-{step}")

    def _exchange(self, what: str, number: int, tasks: Mapping[str, Task], step: int = 0) -> "_Exchange":
        reports = self._reports(step)
        quorum = self.plan.quorum_of(self.scheme, len(tasks), len(self.sites))
        inbox = self._inbox(what, list(tasks), quorum, report_reader(tasks, self.scheme, reports, what))
        inbox.slowest = {} if step else self._slowest()
        orders = {site: self._order("reply", what, number, task) | {"step": step} for site, task in tasks.items()}
        self.transport(orders, inbox)
        try:
            inbox.close()
        except TooFew as few:
            if not step:
                raise
            self.log(str(few))
        for site, reason in sorted(inbox.lost.items()):
            self.log(f"{what}: lost {site} ({reason})")
        self._late = (self._late - set(tasks)) | inbox.silent
        sent = {site: serialization.size(order["task"]) for site, order in orders.items()}
        return _Exchange(reports, sent, inbox.received, inbox.lost, inbox.seconds)

    def _validate(self, memory: Memory, number: int) -> None:
        """The sites' scores after a closed round, where they are due and no resumed record has them."""
        every, rounds = self.plan.evaluate_every, self.record.rounds
        due = every and number >= 0 and number % every == every - 1 and not rounds[number].validation
        if due and self.record.has_fold("valid"):
            self.record.evaluated(number, self._evaluate(memory, number, "valid"))
            self.record.checkpoint(memory)

    def _evaluate(self, memory: Memory, number: int, fold: str) -> dict[str, Any]:
        delivered = Task(self.scheme.model(memory), self.scheme.extra(memory))
        what = "the final evaluation" if fold == "test" else f"the evaluation after round {number}"
        inbox = self._inbox(what, self.sites, 1, partial(scored, self.plan.kind))
        order = {**self._order("evaluate", what, number, delivered), "fold": fold}
        self.transport(dict.fromkeys(self.sites, order), inbox)
        scores = inbox.close()
        for site, reason in sorted(inbox.lost.items()):
            self.log(f"{what}: without {site} ({reason})")
        return scores

    def _inbox(self, what: str, asked: Sequence[str], quorum: int, read: Any) -> Inbox[Any]:
        return Inbox(what, asked, quorum, read, self.plan.deadline, self.plan.grace, self._late)

    def _slowest(self) -> dict[str, float]:
        """Seconds that the slowest of each site's last reports took."""
        seconds: dict[str, list[float]] = {}
        for row in self.record.rounds:
            for site, after in row.answered.items():
                seconds.setdefault(site, []).append(after)
        return {site: max(known[-LAST:]) for site, known in seconds.items()}

    def _order(self, what: str, exchange: str, number: int = 0, task: Task | None = None) -> Order:
        order: Order = {"what": what, "exchange": exchange, "round": number, "sites": self.sites, "run": self.name}
        if task is not None:
            order["task"] = {"weights": task.weights, "extra": task.extra}
            order |= {"shared": dict(self.shared)} if self.shared else {}
        return {**order, "plan": self.plan.model_dump()}


def _added(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    """Bytes of both exchanges, by site."""
    return {site: first.get(site, 0) + second.get(site, 0) for site in sorted({*first, *second})}


def _notes(sites: Mapping[str, Any]) -> dict[str, list[str]]:
    """What the sites' people should be told, each note once, with the sites that it holds for."""
    found: dict[str, list[str]] = {}
    for site, about in sorted(sites.items()):
        failed = ["its last site check ended with FAIL"] * (about.get("check", {}).get("verdict") == "FAIL")
        for note in [*about["notes"], *failed]:
            found.setdefault(note, []).append(site)
    return found


def _without_kept(sites: Mapping[str, Any]) -> dict[str, Any]:
    """What the sites said, as the record has it: the same whether a run was resumed or not."""
    return {site: {key: about[key] for key in about if key != "kept"} for site, about in sites.items()}


def _same_package(sites: Mapping[str, Any]) -> None:
    """Refuse sites that have another brainct than the server: what they compute need not be what was rehearsed."""
    own, others = fingerprint(), {site: about.get("package", "an unknown one") for site, about in sites.items()}
    if differ := [f"{site} has {other}" for site, other in sorted(others.items()) if other != own]:
        raise Refused(
            f"the server's brainct is {own}, but {', '.join(differ)}; install the same one everywhere, "
            "`brainct site package` says which is installed"
        )


def _same_public(sites: Mapping[str, Any]) -> int:
    """The number of public scans; refused, with the sites of each set, when sites hold different ones."""
    holders: dict[str, list[str]] = {}
    for site in sorted(sites):
        public = sites[site]["public"]
        holders.setdefault(f"{public['scans']} scans {public['fingerprint'][:16]}", []).append(site)
    if len(holders) > 1:
        said = "; ".join(f"{', '.join(whose)}: {which}" for which, whose in holders.items())
        raise Refused(f"the sites hold different public sets ({said}); give every site the same one")
    scans: int = next(iter(sites.values()))["public"]["scans"]
    return scans


def _initial(plan: Plan, given: Weights | None) -> Model:
    """The model before round 0; given weights must be of the plan's network."""
    seeded = plan.kind.initial(plan, plan.seed, plan.rounds)
    if given is None:
        return seeded
    plan.kind.fits(given, plan)
    return replace(seeded, weights=dict(given))

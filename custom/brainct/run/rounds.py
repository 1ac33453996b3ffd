"""The round loop: assign, exchange, combine, close, record; knows no transport."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from brainct.core.determinism import generator, one_thread
from brainct.core.learner import Model
from brainct.core.names import listing, reasons_of
from brainct.core.scheme import Memory, Report, Scheme, Task
from brainct.core.weights import Weights
from brainct.errors import Refused
from brainct.job.config import Plan
from brainct.run import checkpoint, roll_call, selection
from brainct.run.exchange import FOLLOW_UP, ExchangeResult, Exchanges, Transport
from brainct.run.record import RecordWriter
from brainct.training.batch_norm import SiloBatchNorm


class Run:
    """One run of a plan over named sites.

    record: closed to disk after each round; a record that resumes a run has the state to continue from. name: the
    run's, by which a site finds its client state. initial: weights to start from in place of the seeded ones. secret:
    mixed into the server's own randomness, so that nobody can derive it from the job's public seed. log: gets the lines
    that a user should read during the run. on_round_closed: gets each closed round's row.
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
        on_round_closed: Callable[[Mapping[str, Any]], None] = lambda row: None,
    ):
        if len(set(sites)) < len(sites) or not sites:
            raise Refused(f"the federation's sites are {listing(sites) or 'none'}; wanted at least one, each once")
        self.plan, self.sites, self.record, self.name = plan, sorted(sites), record, name
        self.log, self.on_round_closed, self.scheme = log, on_round_closed, plan.build()
        self.exchanges = Exchanges(plan, self.scheme, self.sites, name, transport, record, log)
        self.seed = int(generator(plan.seed, "server", secret).integers(2**62)) if secret else plan.seed
        self.initial = _initial(plan, initial, record.resumed is not None)
        plan.check_sites(len(self.sites))
        _check_statistics(self.initial, self.scheme)
        one_thread()

    def __call__(self) -> Weights:
        """All rounds, the final evaluation and the record; returns the delivered model."""
        if self.record.resumed:
            checkpoint.check_job(self.record.resumed, self.plan, self.sites, self.name)
        self.found = found = self.exchanges.describe()
        for words in reasons_of(self.exchanges.absent, "{} ({})"):
            self.log(f"the roll call: without {words}; the run begins, and asks again in each round")
        for note, whose in roll_call.notes(found).items():
            self.log(f"{listing(whose)}: {note}")
        roll_call.check_package(found)
        public = roll_call.public_samples(found) if self.scheme.public else 0
        with checkpoint.lock(self.record.states, self.name):
            if self.record.resumed:
                checkpoint.check_last_copy(self.record.resumed, self.record.states, found, self.name)
            self.exchanges.shared = self.plan.kind.shared(found, self.plan)
            self.record.open(roll_call.for_record(found), self.exchanges.absent)
            self.exchanges.admit = self._admit
            return self._rounds(self._begin(public))

    def _begin(self, public: int) -> Memory:
        """The memory of the last closed round, or the one before round 0."""
        if self.record.resumed:
            self.log(f"run {self.name} continues after {self.record.closed} of {self.plan.rounds} rounds")
            memory = self.record.resumed.memory
        else:
            memory = self.scheme.start(replace(self.initial, public=public), self.sites, self.seed)
        self.record.checkpoint(memory)
        return memory

    def _rounds(self, memory: Memory) -> Weights:
        for number in range(self.record.closed, self.plan.rounds):
            self._validate(memory, number - 1)
            if selection.stops(self.plan, self.record.record):
                self.log(f"the run ends after {number} of {self.plan.rounds} rounds: the score rises no more")
                break
            memory = self._round(memory, number)
        if self.plan.selection:
            self._validate(memory, self.record.closed - 1)
        if not any(row.reported for row in self.record.rounds):
            raise Refused("no site's report took part in any round; there is no trained model")
        model = self.scheme.model(memory)
        test = self._evaluate(memory, self.plan.rounds, "test")
        self._cross(memory)
        self.record.finish(model, test, self._extra(memory))
        return model

    def _cross(self, memory: Memory) -> None:
        """Score at every site the model that each site sent last, where the plan asks for it."""
        held = dict(self.record.sent)
        for site in sorted(held):
            model = Task(held[site], self.scheme.extra(memory))
            self.record.crossed(site, self.exchanges.evaluate(self.plan.rounds, "test", model, of=site))
        if held:
            self.record.checkpoint(memory)

    def _keep_sent(self, number: int, tasks: Mapping[str, Task], reports: Mapping[str, Report]) -> None:
        if self.plan.cross_site and (sent := self.scheme.sent_model):
            models = {site: sent(tasks[site], report) for site, report in reports.items()}
            self.record.keep_sent(number, {site: model for site, model in models.items() if model})

    def _extra(self, memory: Memory) -> Mapping[str, Any]:
        """What the delivered model needs in addition to its weights: of the scheme, and of the workload."""
        shared = dict(self.exchanges.shared)
        return {**self.scheme.extra(memory), **({"workload": shared} if shared else {})}

    def _round(self, memory: Memory, number: int) -> Memory:
        began, tasks = time.monotonic(), dict(self.scheme.assign(memory, number, self.sites))
        first = self.exchanges.train(number, tasks)
        second = self._follow(memory, number, first)
        reports = {site: replace(first.reports[site], followed=second.reports.get(site)) for site in first.reports}
        memory = self.scheme.combine(memory, number, reports) if reports else memory
        self._keep_sent(number, tasks, reports)
        self._join(number)
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
        self.on_round_closed(self.record.rounds[-1].as_json())
        return memory

    def _admit(self, site: str, about: Mapping[str, Any]) -> None:
        """Refuse a site that answers the roll call after the run began, and can't take part."""
        roll_call.check_joining(self.found, site, about, self.plan, self.scheme.public)
        if self.record.resumed:
            checkpoint.check_kept(self.record.record, {site: about}, self.name)

    def _join(self, number: int) -> None:
        """Sites that answered the roll call in this round take part from the next one on."""
        joined = self.exchanges.joined
        for site in sorted(joined):
            self.log(f"{site} answered the roll call in round {number} and takes part from round {number + 1} on")
            self.exchanges.absent.pop(site)
            self.found = {**self.found, site: joined[site]}
            self.record.join(roll_call.for_record({site: joined.pop(site)}), number)

    def _follow(self, memory: Memory, number: int, first: ExchangeResult) -> ExchangeResult:
        """The follow-up exchange, if the scheme has one."""
        tasks = dict(self.scheme.follow(memory, number, first.reports))
        assert tasks.keys() <= set(first.reports), f"{self.scheme.name} follows up on sites that did not reply"
        return self.exchanges.train(number, tasks, step=1)

    def _validate(self, memory: Memory, number: int) -> None:
        """The sites' scores after a closed round, where they are due and no resumed record has them."""
        every, rounds = self.plan.evaluate_every, self.record.rounds
        due = every and number >= 0 and number % every == every - 1 and not rounds[number].validation
        if due and self.record.has_fold("valid"):
            self.record.evaluated(number, self._evaluate(memory, number, "valid"))
            keep = self.plan.selection is not None and self.plan.selection.keep_best
            if keep and selection.standing(self.plan, self.record.record).best == number:
                self.record.keep_best(number, self.scheme.model(memory), self._extra(memory))
            self.record.checkpoint(memory)
            if keep:
                selection.forget_others(self.record.states, self.plan, self.record.record)

    def _evaluate(self, memory: Memory, number: int, fold: str) -> dict[str, Any]:
        return self.exchanges.evaluate(number, fold, Task(self.scheme.model(memory), self.scheme.extra(memory)))


def _added(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    """Bytes of both exchanges, by site."""
    return {site: first.get(site, 0) + second.get(site, 0) for site in sorted({*first, *second})}


def _initial(plan: Plan, given: Weights | None, resumed: bool) -> Model:
    """The model before round 0; given weights must be of the plan's network. A resumed run needs none."""
    seeded = plan.kind.initial(plan, plan.seed, plan.rounds)
    if given is None:
        if plan.start_from is not None and not resumed:
            raise Refused("the job starts from a model that did not come with it; see `brainct jobs start-from`")
        return seeded
    plan.kind.fits(given, plan)
    return replace(seeded, weights=dict(given), given=True)


def _check_statistics(model: Model, scheme: Scheme) -> None:
    """Refuse a scheme with which the sites' own statistics of BatchNorm would travel."""
    own = [layer.path for layer in model.layers if layer.kind == SiloBatchNorm.__name__]
    if own and not scheme.keeps_statistics:
        raise Refused(
            f"{scheme.name} can't treat {model.architecture}: the statistics of {len(own)} layers such as {own[0]} "
            "belong to each site (batch_norm: silo), and it would send them; choose fedbn, silobn or local, or the "
            "rule group or frozen"
        )

"""A site's half of a run: replies to requests, the same whatever transport brought them."""

import hmac
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brainct.core.determinism import one_thread
from brainct.core.learner import Learner
from brainct.core.report_check import check_report
from brainct.core.scheme import ClientState, Scheme, Task
from brainct.core.version import fingerprint
from brainct.core.weights import Weights
from brainct.errors import Declined, Refused
from brainct.job.config import Plan
from brainct.protocol.agent import Agent
from brainct.protocol.known_plan import KnownPlan
from brainct.protocol.replies import Description, Failure, Reply, Scores, Update, content_of
from brainct.protocol.requests import DescribeRequest, EvaluateRequest, ModelRequest, Request, TrainRequest
from brainct.protocol.terms import check_round, check_shared, check_terms, terms_of
from brainct.security.disclosures import check_reply
from brainct.site.data import OpenedData, Opener, open_data
from brainct.site.learners import Learners, Prepared, Starter
from brainct.site.redaction import Redaction
from brainct.site.state_store import StateStore


class SiteAgent(Agent):
    """Replies to the requests to one site.

    client_state: the folder of the site's own state, in it one folder for each run; it outlives this process.
    site_file: see `site.data.site_file_of`. opener: opens the site's data, see `site.data.open_data`. redact: a failure
    leaves as one constant sentence and its reason stays in the site's log; false in a rehearsal alone. startup: the
    folder of that name in the site's kit, which proves to the other sites who it is. privacy: the site's privacy.json,
    for how it must train. reused: a run's name may come again, as the simulator's do. prepared: shared with other sites
    of the process. start: reads the job's start model, which travels in the job folder.

    At the roll call the site fixes the run's terms on its own disk. Afterwards it replies to the requests of that run
    alone, to each once: a request that comes again, because its reply was lost on the way, gets the same bytes.
    """

    def __init__(
        self,
        site: str,
        client_state: Path,
        site_file: Path | None,
        opener: Opener = open_data,
        redact: bool = True,
        startup: Path | None = None,
        privacy: Path | None = None,
        reused: bool = False,
        prepared: Prepared | None = None,
        start: Starter | None = None,
    ):
        self.site, self.state, self._reused = site, StateStore(site, client_state), reused or not redact
        self._redaction = Redaction(site, redact)
        self._plan, self.data = KnownPlan(f"{site}: the job"), OpenedData(site, site_file, opener)
        self._learners = Learners(
            self.state, startup, privacy, secrets=redact, prepared=prepared or Prepared(), start=start
        )
        one_thread()

    def reply(self, request: Request) -> Reply:
        """See Agent.reply."""
        try:
            return self._reply(request)
        except Declined as error:
            return Failure(str(error))
        except Refused as error:
            return self._redaction.failure(str(error))
        except Exception as error:  # a site's fault must reach the server by name, and cost that site one round
            logging.getLogger(__name__).debug("%s failed", self.site, exc_info=True)
            return self._redaction.failure(f"{self.site} failed: {type(error).__name__}: {error}")

    def _reply(self, request: Request) -> Reply:
        if why := self.state.closed(request.run, isinstance(request, DescribeRequest) and request.new):
            raise Declined(f"{self.site} does not continue run {request.run}: {why}; begin a new run")
        plan, scheme = self._plan.of(request.plan)
        asked = terms_of(plan, request.sites)
        if isinstance(request, DescribeRequest):
            self.data.of(plan, request.sites, scheme.public)  # a site that can't open its data has begun nothing
        else:
            check_terms(self.state.terms(request.run), asked, self.site, request.run)
        with self.state.alone(request.run):
            if isinstance(request, DescribeRequest):
                self._begin(request, asked)
            check_terms(self.state.terms(request.run), asked, self.site, request.run)
            check_round(request, plan)
            if isinstance(request, DescribeRequest):
                return self._describe(request, plan, scheme)
            self._fix_shared(request)
            if isinstance(request, EvaluateRequest):
                return self._evaluate(request, plan, scheme)
            return self._train(request, plan, scheme)

    def _begin(self, request: DescribeRequest, asked: Mapping[str, Any]) -> None:
        """Fix the run's terms. A run can't begin twice under one name: it would draw its secrets anew."""
        run, fixed = request.run, self.state.terms(request.run)
        if request.new and fixed is not None:
            begun = self.state.kept(run)["round"] >= 0 or bool(self.state.scores(run))
            if begun and not self._reused:
                raise Declined(f"run {run} has begun at {self.site} before; resume it, or begin a run of another name")
            if self._reused:
                self.state.forget(run)
                fixed = None
        if fixed is None:
            self.state.fix(run, asked)

    def _fix_shared(self, request: ModelRequest) -> None:
        """Decline other shared values than those of the run's first request; only values that exist are written."""
        fixed = self.state.shared(request.run)
        check_shared(fixed, request.shared, self.site, request.run)
        if fixed is None and request.shared:
            self.state.fix_shared(request.run, request.shared)

    def _describe(self, request: DescribeRequest, plan: Plan, scheme: Scheme) -> Description:
        data, held = self.data.of(plan, request.sites, scheme.public), self.state.kept(request.run)
        own = {"package": fingerprint(), "kept": {"round": held["round"], "empty": not held["client_state"]}}
        about = plan.kind.describe(data, scheme.public)
        reply = Description({**about, "fingerprint": self._salted(about["fingerprint"]), **own})
        check_reply(content_of(reply), plan)
        return reply

    def _salted(self, digest: str) -> str:
        """A fingerprint that stays the same for the same data at this site, against which no guess can be checked."""
        if not self._redaction.redact:
            return digest
        return hmac.digest(self.state.site_secret(), digest.encode(), "sha256").hex()

    def _evaluate(self, request: EvaluateRequest, plan: Plan, scheme: Scheme) -> Scores:
        run, when = request.run, "/".join(filter(None, (request.fold, str(request.round), request.of)))
        known = self.state.scores(run)
        if when not in known:
            learner, weights = self._personal(request, plan, scheme)
            scores = learner.evaluate(weights, request.fold)
            check_reply(content_of(Scores(scores)), plan)
            known = {**known, when: {"order": request.digest, "scores": scores}}
            self.state.note_scores(run, known)
        if known[when]["order"] != request.digest:
            raise Declined(
                f"{self.site} has sent its scores on fold {request.fold} after round {request.round} for another "
                "model; it sends them once"
            )
        return Scores(dict(known[when]["scores"]))

    def _train(self, request: TrainRequest, plan: Plan, scheme: Scheme) -> Update:
        run, number, step = request.run, request.round, str(request.step)
        kept = self.state.kept(run)
        given = self.state.answers(run) if number == kept["round"] else {}
        if step in given and given[step]["order"] == request.digest:
            return Update(**given[step]["answer"])
        if number < kept["round"] or step in given or "1" in given:
            raise Declined(
                f"the server asks for round {number}, but {self.site} stored client state after round "
                f"{kept['round']} of this run and replies to each request once: the server's state is an older copy; "
                "begin a new run"
            )
        if request.step and not given:
            raise Declined(
                f"the server asks {self.site} for a follow-up of round {number}, to which it has not replied yet"
            )
        learner = self._learners.learner(plan, self.data.of(plan, request.sites, scheme.public), request)
        report, client_state = scheme.reply(request.task, learner, kept["client_state"])
        check_report(report, request.task, scheme, f"{self.site}, round {number}")
        reply = Update(report.weights, report.examples, report.metrics, report.extra)
        check_reply(content_of(reply), plan)
        answers = {**given, step: {"order": request.digest, "answer": content_of(reply)}}
        self.state.store(run, {"client_state": client_state, "round": number, "answers": answers})
        return reply

    def delivered(
        self, plan: Plan, task: Task, sites: Sequence[str], run: str, shared: Mapping[str, Any] | None = None
    ) -> tuple[Learner, Weights]:
        """After a run's last round, given the delivered model: the site's learner, and the model that it evaluates.

        For what reads a site's single predictions, as only a rehearsal may; nothing of them is in a reply.
        """
        request = EvaluateRequest(
            run=run,
            exchange="",
            sites=tuple(sites),
            plan=plan.model_dump(),
            round=plan.rounds,
            fold="test",
            task=task,
            shared=shared or {},
        )
        return self._personal(request, plan, plan.build())

    def _personal(self, request: EvaluateRequest, plan: Plan, scheme: Scheme) -> tuple[Learner, Weights]:
        """The learner and the weights with which the site evaluates the request's model, by its client state."""
        learner = self._learners.learner(plan, self.data.of(plan, request.sites, scheme.public), request)
        state: ClientState = self.state.kept(request.run)["client_state"]
        adapted = scheme.adapt_input(request.task, learner, state)
        if request.of:
            return adapted, request.task.weights  # a model that a site sent is scored as it was sent
        return adapted, scheme.personalise(request.task, adapted, state)

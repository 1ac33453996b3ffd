"""A site's half of a run: opens its scans once and answers orders, the same whoever carried them."""

import functools
import hmac
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from brainct.core.determinism import one_thread
from brainct.core.learner import Learner
from brainct.core.report_check import check_report
from brainct.core.scheme import ClientState, Scheme, Task
from brainct.core.version import fingerprint
from brainct.core.weights import Weights
from brainct.core.workload import Context
from brainct.errors import Declined, Refused, failed
from brainct.job.config import Plan, plan_of
from brainct.protocol.terms import check_order, check_round, check_shared, check_terms, order_digest, terms_of
from brainct.security.credentials import SiteCredentials, digest_of
from brainct.security.disclosures import check_answer
from brainct.security.reply_filter import reply_filter_if_any
from brainct.security.signing import identity_in
from brainct.site.state_store import StateStore

ENVIRONMENT = "BRAINCT_SITE"
SECRET = "BRAINCT_SECRET"
LOG = "brainct"
"""The logger whose lines are for the people at the console."""

Opener = Callable[[Path | None, str, Sequence[str], Plan], Any]
"""Opens a site's data: given the site file, the site's name, all sites' names and the job's plan."""


def open_data(file: Path | None, site: str, sites: Sequence[str], plan: Plan) -> Any:
    """The data of one site as the plan's workload opens them."""
    return plan.kind.open(file, site, sites, plan)


def site_file_of(kit: Path | None) -> Path | None:
    """Where a site says what scans it has: its kit's local/brainct.yaml, else the file that BRAINCT_SITE names."""
    if kit is not None and (kit / "local" / "brainct.yaml").is_file():
        return kit / "local" / "brainct.yaml"
    named = os.environ.get(ENVIRONMENT)
    return Path(named) if named else None


class SiteAgent:
    """Answers the orders `describe`, `reply` and `evaluate` for one site.

    keep: folder of what the site keeps for itself, below it one for each run; it outlives this process. site_file: see
    `site_file_of`. opener: opens the site's data, see `open_data`. discreet: what an answer says of a
    failure does not depend on the scans, and the reason goes to the site's own log; for every site that is not
    rehearsed. startup: the folder of that name in the site's kit, which says who it is to the other sites. privacy:
    the site's privacy.json, for how it must train. reused: the names of runs may come again, as the simulator's do.

    At the roll call the site fixes on its own disk what the run is. Afterwards it answers the orders of that run alone,
    each once: an order that comes again, since its answer was lost on the way, gets the same bytes.
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
    ):
        self.site, self.site_file, self._opener, self._discreet = site, site_file, opener, redact
        self.state, self._reused = StateStore(site, client_state), reused or not redact
        self._identity = functools.cache(functools.partial(identity_in, startup))
        self._guard = reply_filter_if_any(privacy, site)
        self._data: tuple[str, Any] | None = None
        self._plan: tuple[Any, Plan, Scheme] | None = None
        self._prepared: tuple[str, Any] | None = None
        one_thread()

    def answer(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """What the server gets for an order: what was asked, or `error` and a sentence that says what is wrong."""
        exchange = order.get("exchange", "")
        return {**self._said(order), "exchange": exchange if isinstance(exchange, str) else ""}

    def _said(self, order: Mapping[str, Any]) -> dict[str, Any]:
        try:
            answer = self._answer(order)
            check_answer(answer)  # what is not in the list of what may leave, or could not travel, is refused here
            return answer
        except Declined as error:
            return {"error": str(error)}
        except Refused as error:
            return self._failed(str(error))
        except Exception as error:  # a site's fault must reach the server by name, and cost that site one round
            logging.getLogger(__name__).debug("%s could not answer", self.site, exc_info=True)
            return self._failed(f"{self.site} failed: {type(error).__name__}: {error}")

    def _failed(self, details: str) -> dict[str, Any]:
        """One sentence for all that went wrong once scans were looked at: what it said else could tell about them."""
        if not self._discreet:
            return {"error": details}
        logging.getLogger(LOG).error("%s: %s", self.site, details.removeprefix(f"{self.site}: "))
        return {"error": failed(self.site)}

    def _answer(self, order: Mapping[str, Any]) -> dict[str, Any]:
        check_order(order, self.site)
        plan, scheme = self._plan_of(order["plan"])
        asked, run = terms_of(plan, order["sites"]), order["run"]
        if order["what"] == "describe":
            self._open(plan, order["sites"], scheme.public)  # a site that can't open its scans has begun nothing
        else:
            check_terms(self.state.terms(run), asked, self.site, run)
        with self.state.alone(run):
            return self._of_run(order, plan, scheme, asked)

    def _of_run(self, order: Mapping[str, Any], plan: Plan, scheme: Scheme, asked: Mapping[str, Any]) -> dict[str, Any]:
        run = order["run"]
        if order["what"] == "describe":
            self._begin(order, asked)
        check_terms(self.state.terms(run), asked, self.site, run)
        check_round(order, plan)
        self._fix_shared(order)
        if order["what"] == "describe":
            return {"about": self._about(order, plan, scheme)}
        if order["what"] == "evaluate":
            return {"scores": self._scores(order, plan, scheme)}
        return self._reply(order, plan, scheme)

    def _begin(self, order: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
        """Fix what the run is. One that has begun can't begin again under its name: it would draw its secrets anew."""
        run, fixed = order["run"], self.state.terms(order["run"])
        if order.get("new", True) and fixed is not None:
            begun = self.state.kept(run)["round"] >= 0 or bool(self.state.scores(run))
            if begun and not self._reused:
                raise Declined(f"run {run} has begun at {self.site} before; resume it, or begin a run of another name")
            if self._reused:
                self.state.forget(run)
                fixed = None
        if fixed is None:
            self.state.fix(run, asked)

    def _fix_shared(self, order: Mapping[str, Any]) -> None:
        """Refuse other shared values than those of the run's first request; written down only if there are any."""
        if order["what"] == "describe":
            return
        shared, fixed = order.get("shared", {}), self.state.shared(order["run"])
        check_shared(fixed, shared, self.site, order["run"])
        if fixed is None and shared:
            self.state.fix_shared(order["run"], shared)

    def _about(self, order: Mapping[str, Any], plan: Plan, scheme: Scheme) -> dict[str, Any]:
        scans, held = self._open(plan, order["sites"], scheme.public), self.state.kept(order["run"])
        own = {"package": fingerprint(), "kept": {"round": held["round"], "empty": not held["client_state"]}}
        about = plan.kind.describe(scans, scheme.public)
        return {**about, "fingerprint": self._salted(about["fingerprint"]), **own}

    def _salted(self, digest: str) -> str:
        """A fingerprint that is the same for the same scans at this site, and says nothing to who guesses at them."""
        if not self._discreet:
            return digest
        return hmac.digest(self.state.site_secret(), digest.encode(), "sha256").hex()

    def _scores(self, order: Mapping[str, Any], plan: Plan, scheme: Scheme) -> dict[str, Any]:
        run, when, digest = order["run"], f"{order['fold']}/{order['round']}", order_digest(order)
        known = self.state.scores(run)
        if when not in known:
            scans, task = self._open(plan, order["sites"], scheme.public), _task(order)
            learner = self._learner(plan, scans, order)
            seeing, weights = _used(scheme, task, learner, self.state.kept(run)["client_state"])
            known = {**known, when: {"order": digest, "scores": seeing.evaluate(weights, order["fold"])}}
            self.state.note_scores(run, known)
        if known[when]["order"] != digest:
            raise Declined(
                f"{self.site} has told its scores of fold {order['fold']} after round {order['round']} for another "
                "model; it tells them once"
            )
        return dict(known[when]["scores"])

    def _reply(self, order: Mapping[str, Any], plan: Plan, scheme: Scheme) -> dict[str, Any]:
        run, number, step, digest = order["run"], order["round"], order.get("step", 0), order_digest(order)
        kept = self.state.kept(run)
        given = kept["answers"] if number == kept["round"] else {}
        if str(step) in given and given[str(step)]["order"] == digest:
            return dict(given[str(step)]["answer"])
        if number < kept["round"] or str(step) in given or "1" in given:
            raise Declined(
                f"the server asks for round {number}, but {self.site} keeps what it had after round {kept['round']} of "
                "this run and answers each order once: the server's state is an older copy; begin a new run"
            )
        if step and not given:
            raise Declined(f"the server asks {self.site} for more on round {number}, which it has not answered")
        learner = self._learner(plan, self._open(plan, order["sites"], scheme.public), order)
        task = _task(order)
        report, client_state = scheme.reply(task, learner, kept["client_state"])
        check_report(report, task, scheme, f"{self.site}, round {number}")
        answer = {key: getattr(report, key) for key in ("weights", "examples", "metrics", "extra")}
        answers = {**given, str(step): {"order": digest, "answer": answer}}
        check_answer(answer)
        self.state.store(run, {"client_state": client_state, "round": number, "answers": answers})
        return answer

    def delivered(
        self, plan: Plan, task: Task, sites: Sequence[str], run: str, shared: Mapping[str, Any] | None = None
    ) -> tuple[Learner, Weights]:
        """After a run's last round, given the delivered model: how this site would ask it, and the model it would ask.

        For what sees a site's single predictions, as only a rehearsal may; a site answers with `answer` alone.
        """
        scheme = plan.build()
        asked = {
            "plan": plan.model_dump(),
            "sites": list(sites),
            "round": plan.rounds,
            "run": run,
            "shared": shared or {},
        }
        learner = self._learner(plan, self._open(plan, sites, scheme.public), asked)
        return _used(scheme, task, learner, self.state.kept(run)["client_state"])

    def _learner(self, plan: Plan, data: Any, order: Mapping[str, Any]) -> Learner:
        secret = os.environ.get(SECRET) or (None if self._discreet else "")
        run_secret = functools.partial(self.state.run_secret, order["run"]) if self._discreet else bytes
        private = self._guard.private_training(order) if self._guard else None
        always = self._guard is not None and self._guard.policy.scores.noise is not None
        named = (plan.seed, self.site, order["round"])
        credentials = SiteCredentials(*named, digest_of(plan), secret, run_secret, self._identity)
        shared = order.get("shared", {})
        context = Context(plan.seed, plan.rounds, self.site, order["round"], credentials, private, always, shared)
        return plan.kind.learner(plan, data, context, self._prepared_for(plan))

    def _plan_of(self, choices: Mapping[str, Any]) -> tuple[Plan, Scheme]:
        if self._plan is None or self._plan[0] != choices:
            try:
                plan = plan_of(choices, f"{self.site}: the job")
            except Refused as error:
                raise Declined(str(error)) from None
            self._plan = (choices, plan, plan.build())
        return self._plan[1:]

    def _open(self, plan: Plan, sites: Sequence[str], public: bool) -> Any:
        """The site's data, opened once for a job's choices of its workload."""
        key = json.dumps([plan.workload, list(sites), plan.model_dump(include=set(plan.kind.choices.model_fields))])
        if self._data is None or self._data[0] != key:
            self._data = (key, self._opener(self.site_file, self.site, sites, plan))
        plan.kind.check(self._data[1], plan, self.site)
        if public:
            self._check_public(plan, self._data[1])
        return self._data[1]

    def _check_public(self, plan: Plan, data: Any) -> None:
        try:
            plan.kind.check_public(data)
        except Refused as error:
            raise Refused(f"{self.site}: {error}") from None

    def _prepared_for(self, plan: Plan) -> Any:
        key = json.dumps([plan.workload, plan.seed, plan.model_dump(include=set(plan.kind.choices.model_fields))])
        if self._prepared is None or self._prepared[0] != key:
            self._prepared = (key, plan.kind.prepare(plan, plan.seed))
        return self._prepared[1]


def _task(order: Mapping[str, Any]) -> Task:
    return Task(order["task"]["weights"], order["task"]["extra"])


def _used(scheme: Scheme, task: Task, learner: Learner, client_state: ClientState) -> tuple[Learner, Weights]:
    seeing = scheme.adapt_input(task, learner, client_state)
    return seeing, scheme.personalise(task, seeing, client_state)

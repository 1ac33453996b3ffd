"""What a site replies leaves only as its privacy policy allows, and what that gives away is counted.

The policy is in the site's privacy.json, FLARE's own file, as the arguments of the filter that FLARE puts behind every
job at that site; a rehearsal reads the same file. How a reply is changed is in `security.release`.
"""

import functools
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from brainct.core import serialization
from brainct.core.privacy_event import Event
from brainct.errors import Declined, Refused, failed
from brainct.job.config import Plan
from brainct.protocol.agent import Agent
from brainct.protocol.known_plan import KnownPlan
from brainct.protocol.replies import (
    BY_KIND,
    Description,
    Failure,
    Reply,
    Scores,
    Update,
    content_of,
    failure_in,
    reply_of_plain,
    reply_to_plain,
)
from brainct.protocol.requests import (
    DescribeRequest,
    EvaluateRequest,
    Request,
    TrainRequest,
    exchange_of,
    request_of_plain,
    task_of,
)
from brainct.security import limits, release
from brainct.security import policy as policies
from brainct.security.accounting import UNITS
from brainct.security.disclosures import check_reply
from brainct.security.ledger import Ledger
from brainct.security.private_training import private_training
from brainct.security.score_rules import nothing_of
from brainct.training.private import PrivateTraining

ASK = "choose another scheme, or ask the hospital's data protection officer"


class ReplyFilter:
    """One site's policy at work: every reply to a request goes through it, whoever made the reply."""

    def __init__(self, policy: policies.Policy, ledger: Ledger, site: str):
        self.policy, self.ledger, self.site = policy, ledger, site
        self._plan = KnownPlan("the job")
        self._samples: dict[str, int] = {}

    def reply(self, request: Request, reply: Reply) -> Reply:
        """What may leave: the reply as it is, a changed one, or a Failure with the reason."""
        return self._safely(lambda: self._allowed(request, reply))

    def reply_plain(self, value: Any, reply: Any) -> dict[str, Any]:
        """The same for messages, whatever is in them. value: the server's request. reply: what was made of it."""
        return reply_to_plain(self._safely(lambda: self._allowed_of_plain(value, reply)), exchange_of(value))

    def _safely(self, allowed: Callable[[], Reply]) -> Reply:
        try:
            reply = allowed()
            if isinstance(reply, Failure):
                check_reply({"error": reply.reason})
            return reply
        except Declined as error:
            return Failure(f"{self.site} does not take part: {error}")
        except Exception as error:  # the reason may follow from the data; only the site's own log gets it
            logging.getLogger("brainct").error("%s: %s", self.site, error)
            return Failure(failed(self.site))

    def _allowed_of_plain(self, value: Any, reply: Any) -> Reply:
        failure = failure_in(reply, self.site)
        try:
            request = request_of_plain(value, self.site)
        except Declined as error:
            if failure:
                return failure
            raise Declined(f"{error}; nothing leaves") from None
        return self._allowed(request, failure or reply_of_plain(reply, BY_KIND[request.kind], self.site))

    def account(self) -> str:
        """The policy and what was spent under it, for the site's own people."""
        policy, rows = self.policy, self.ledger.releases()
        lines = [f"{self.site}: {self._terms()}", f"releases that its privacy budget pays for: {len(rows)}"]
        if rows:
            delta = policy.budget.delta if policy.budget else policies.Budget(epsilon=1).delta
            gone, kinds = self.ledger.spent(delta), [event.kind for event in self.ledger.events()]
            of = f" of {policy.budget.epsilon:g}" if policy.budget else ""
            runs = len({row["run"] for row in rows.values()})
            lines += [
                f"{kind}: {kinds.count(kind)}, epsilon {gone[kind]:.4g}, for {unit}"
                for kind, unit in UNITS.items()
                if kind in gone
            ]
            lines.append(f"epsilon spent in all, over {runs} runs: {gone['all']:.4g}{of} (delta {delta:g})")
        return "\n".join(lines)

    def private_training(self, request: Request) -> PrivateTraining | None:
        """How the site must train for this request, paid for from its ledger; None where its policy does not say."""
        return private_training(self.policy, self.ledger.secret, functools.partial(self._spend, request))

    def _terms(self) -> str:
        terms = self.policy.model_dump(mode="json", exclude_defaults=True)
        return f"its privacy policy: {json.dumps(terms)}"

    def _allowed(self, request: Request, reply: Reply) -> Reply:
        if isinstance(reply, Failure) and reply.reason != failed(self.site):
            return reply  # the words follow from the request alone
        plan = self._agreed(request)
        if isinstance(reply, Failure):
            found = self._of_failure(plan, request, reply)
            return found if isinstance(found, Failure) else _checked(plan, found)
        secret, spend = self.ledger.secret, functools.partial(self._spend, request)
        if isinstance(request, DescribeRequest) and isinstance(reply, Description):
            return _checked(plan, Description(self._about(plan, request, reply.about)))
        if isinstance(request, EvaluateRequest) and isinstance(reply, Scores):
            return _checked(plan, Scores(release.scores(self.policy, plan, request, reply.scores, secret, spend)))
        if isinstance(request, TrainRequest) and isinstance(reply, Update):
            return _checked(plan, release.update(self.policy, plan, request, reply, secret, spend))
        raise Refused(f"the reply to a request to {request.kind} is a {type(reply).__name__}; it is not sent")

    def _agreed(self, request: Request) -> Plan:
        """The request's plan; Declined where it can't meet the policy's demands, at every request anew."""
        plan, scheme = self._plan.of(request.plan)
        reason = (
            limits.beyond(self.policy.limits, plan, request.sites)
            or policies.objection(self.policy, scheme)
            or self._unnoised(plan)
            or policies.apart(self.policy, scheme, request.sites, task_of(request).extra)
        )
        if reason:
            raise Declined(f"by its privacy policy {reason}; {ASK}")
        self._check_withheld(plan)
        if isinstance(request, DescribeRequest):
            return plan
        if self.policy.limits.runs_a_day is not None and not self.ledger.has_begun(request.run):
            raise Declined("by its privacy policy it takes part in no run that it did not agree to at a roll call")
        if reason := limits.reshaped(self.policy.limits, plan, request.task.weights):
            raise Declined(f"by its privacy policy {reason}; {ASK}")
        return plan

    def _unnoised(self, plan: Plan) -> str | None:
        unnoised = plan.kind.unnoised(plan) if self.policy.hides else ""
        return f"{policies.HIDDEN}, but the job has sites send {unnoised}" if unnoised else None

    def _of_failure(self, plan: Plan, request: Request, failure: Failure) -> Reply:
        """The site's constant sentence; under noise, what an update would have been from which nothing was learnt."""
        if isinstance(request, EvaluateRequest) and self.policy.scores.form == "never":
            return Scores(nothing_of(plan.kind.score_keys, plan.kind.outputs(plan)))
        examples = self._samples.get(request.run)
        if isinstance(request, TrainRequest) and self.policy.noise and request.task.weights and examples:
            spend = functools.partial(self._spend, request)
            return release.without_training(self.policy, request, examples, self.ledger.secret, spend)
        return failure

    def _about(self, plan: Plan, request: DescribeRequest, about: Mapping[str, Any]) -> dict[str, Any]:
        """The description, with the policy's terms; Declined where the policy can't serve this run."""
        self._samples[request.run] = plan.kind.samples(about, "train")
        if self.policy.budget is not None:
            self._check_budget(plan, request, self.policy.budget)
        a_day = self.policy.limits.runs_a_day
        if a_day is not None and not self.ledger.begin(request.run, a_day):
            raise Declined(
                f"by its privacy policy it begins {a_day} runs a day, and has begun them; try again tomorrow"
            )
        return release.description(self.policy, plan, about, self._terms())

    def _check_withheld(self, plan: Plan) -> None:
        """At every request: the network that is trained need not be the one of the roll call."""
        if not self.policy.withhold:
            return
        known = limits.tensors_of(plan)
        if lost := [path for path in self.policy.withhold if not policies.withheld(known, [path])]:
            modules = ", ".join(sorted({key.partition(".")[0] for key in known}))
            raise Declined(
                f"its privacy policy withholds {', '.join(lost)}, which network {plan.kind.network(plan)[0]} does not "
                f"have; its modules are {modules}"
            )

    def _check_budget(self, plan: Plan, request: Request, budget: policies.Budget) -> None:
        paid = {row["round"] for row in self.ledger.releases().values() if row["run"] == _run(request)}
        wanted = plan.rounds - len(paid)
        spent = [*self.ledger.events(), *policies.evaluations(self.policy, plan, request.sites)]
        left = policies.rounds_left(budget, spent, policies.a_round(self.policy, plan), wanted)
        if left < wanted:
            gone = self.ledger.spent(budget.delta)["all"]
            raise Declined(
                f"this run needs {wanted} rounds, and its privacy policy leaves room for {left}: of epsilon "
                f"{budget.epsilon:g} (delta {budget.delta:g}) {gone:.3g} is spent; ask for fewer rounds, "
                "or its data protection officer for a larger budget"
            )

    def _spend(self, request: Request, digest: str, event: Event) -> None:
        if not self.ledger.spend(digest, event, self.policy.budget, _run(request), request.round):
            assert self.policy.budget is not None
            raise Declined(
                f"the privacy budget of its patients (epsilon {self.policy.budget.epsilon:g}, delta "
                f"{self.policy.budget.delta:g}) is spent, so it makes no more releases; its data protection officer "
                "decides about a larger one"
            )


def _checked(plan: Plan, reply: Description | Scores | Update) -> Reply:
    check_reply(content_of(reply), plan)
    return reply


def _run(request: Request) -> str:
    """The run as the ledger names it: by its terms, since a server may give any name twice."""
    return serialization.sha256({"plan": request.plan, "sites": request.sites})[:16]


class FilteredAgent(Agent):
    """An agent whose replies leave through a reply filter: how a site is rehearsed under a policy."""

    def __init__(self, agent: Agent, reply_filter: ReplyFilter):
        self.site, self.agent, self.filter = agent.site, agent, reply_filter

    def reply(self, request: Request) -> Reply:
        """See Agent.reply and ReplyFilter.reply."""
        return self.filter.reply(request, self.agent.reply(request))

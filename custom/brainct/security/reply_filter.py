"""The site's door: what a site answers leaves only as its privacy policy allows, and what that gives away is counted.

The policy stands in the site's privacy.json, FLARE's own file, as the arguments of the filter that FLARE puts behind
every job at that site; a rehearsal reads the same file. What becomes of an answer is in `security.release`.
"""

import functools
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from brainct.core import serialization
from brainct.core.privacy_event import Event
from brainct.errors import Declined, Refused, failed, one_line
from brainct.job.config import Plan, plan_of
from brainct.protocol.terms import HELD_OUT, ORDERS
from brainct.security import limits, release
from brainct.security import policy as policies
from brainct.security.accounting import UNITS
from brainct.security.disclosures import check_answer
from brainct.security.ledger import Ledger
from brainct.security.private_training import private_training
from brainct.security.score_rules import nothing_of
from brainct.training.private import PrivateTraining

ENVIRONMENT = "BRAINCT_PRIVACY"
FILTER, REMEMBER = "brainct.flare.filters.Privacy", "brainct.flare.filters.Remember"
ASK = "choose another scheme, or ask the hospital's data protection officer"


class ReplyFilter:
    """One site's policy at work: every answer to an order goes through `answer`, whoever made it."""

    def __init__(self, policy: policies.Policy, ledger: Ledger, site: str):
        self.policy, self.ledger, self.site = policy, ledger, site
        self._scans: dict[str, int] = {}

    def answer(self, order: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
        """What may leave in place of an answer: the same, a changed one, or `error` and why not in a sentence."""
        exchange = {"exchange": order.get("exchange", "")}
        try:
            allowed = self._allowed(order, answer)
            check_answer(allowed)
            return allowed
        except Declined as error:
            return {"error": f"{self.site} does not take part: {error}", **exchange}
        except Exception as error:  # what is wrong with an answer may tell of scans; the site's own log says it
            logging.getLogger("brainct").error("%s: %s", self.site, error)
            return {"error": failed(self.site), **exchange}

    def account(self) -> str:
        """The policy and what was spent under it, for the site's own people."""
        policy, rows = self.policy, self.ledger.releases()
        lines = [f"{self.site}: {self._said()}", f"releases that its privacy budget pays for: {len(rows)}"]
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

    def private_training(self, order: Mapping[str, Any]) -> PrivateTraining | None:
        """How the site must train for this order, paid for from its ledger; None where its policy does not say."""
        return private_training(self.policy, self.ledger.secret, functools.partial(self._spend, order))

    def _said(self) -> str:
        terms = self.policy.model_dump(mode="json", exclude_defaults=True)
        return f"its privacy policy: {json.dumps(terms)}"

    def _allowed(self, order: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
        what = order.get("what")
        if what not in ORDERS or (what == "evaluate" and order.get("fold") not in HELD_OUT):
            if "error" in answer:
                return {"error": answer["error"], **_exchange(answer)}
            raise Declined(f"its privacy policy knows no order such as {one_line(what)!r}; nothing leaves")
        if "error" in answer and not release.has_failed(self.site, answer):
            return {"error": answer["error"], **_exchange(answer)}
        plan = self._demanded(order)
        if "error" in answer:
            return self._of_failure(plan, order, answer)
        secret, spend = self.ledger.secret, functools.partial(self._spend, order)
        if what == "describe":
            return {"about": self._about(plan, order, answer["about"]), **_exchange(answer)}
        if what == "evaluate":
            return {
                "scores": release.scored(self.policy, plan, order, answer["scores"], secret, spend),
                **_exchange(answer),
            }
        return release.replied(self.policy, plan, order, answer, secret, spend)

    def _demanded(self, order: Mapping[str, Any]) -> Plan:
        """The order's plan; refused where the policy's demands can't be met by it, in every order anew."""
        try:
            plan = plan_of(order["plan"], "the job")
        except Refused as error:
            raise Declined(str(error)) from None
        if said := limits.beyond(self.policy.limits, plan):
            raise Declined(f"by its privacy policy {said}; {ASK}")
        if said := policies.objection(self.policy, plan.build()):
            raise Declined(f"by its privacy policy {said}; {ASK}")
        if self.policy.hides and (said := plan.kind.unnoised(plan)):
            raise Declined(f"by its privacy policy {policies.HIDDEN}, but the job has sites send {said}; {ASK}")
        if said := policies.apart(self.policy, plan.build(), order):
            raise Declined(f"by its privacy policy {said}; {ASK}")
        self._check_withheld(plan)
        if order["what"] == "describe":
            return plan
        if self.policy.limits.runs_a_day is not None and not self.ledger.has_begun(order["run"]):
            raise Declined("by its privacy policy it answers no run that it has not agreed to at a roll call")
        if said := limits.reshaped(self.policy.limits, plan, order["task"]["weights"]):
            raise Declined(f"by its privacy policy {said}; {ASK}")
        return plan

    def _of_failure(self, plan: Plan, order: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
        """The site's constant sentence; under noise, what an update would have been from which nothing was learnt."""
        if order["what"] == "evaluate" and self.policy.scores.form == "never":
            return {"scores": nothing_of(plan.kind.score_keys, plan.kind.outputs(plan)), **_exchange(answer)}
        examples = self._scans.get(order["run"])
        if order["what"] == "reply" and self.policy.noise and order["task"]["weights"] and examples:
            spend = functools.partial(self._spend, order)
            return release.without_training(self.policy, order, examples, self.ledger.secret, spend)
        return {"error": answer["error"], **_exchange(answer)}

    def _about(self, plan: Plan, order: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
        """What the site says at the roll call, with what the policy means for this run; refuses one it can't serve."""
        self._scans[order["run"]] = plan.kind.samples(about, "train")
        if self.policy.budget is not None:
            self._check_budget(plan, order, self.policy.budget)
        a_day = self.policy.limits.runs_a_day
        if a_day is not None and not self.ledger.begin(order["run"], a_day):
            raise Declined(
                f"by its privacy policy it begins {a_day} runs a day, and has begun them; try again tomorrow"
            )
        return release.described(self.policy, plan, about, self._said())

    def _check_withheld(self, plan: Plan) -> None:
        """In every order: the network that is trained need not be the one of the roll call."""
        if not self.policy.withhold:
            return
        known = plan.kind.initial(plan, plan.seed, plan.rounds).weights
        if lost := [path for path in self.policy.withhold if not policies.withheld(known, [path])]:
            modules = ", ".join(sorted({key.partition(".")[0] for key in known}))
            raise Declined(
                f"its privacy policy withholds {', '.join(lost)}, which network {plan.kind.network(plan)[0]} does not "
                f"have; its modules are {modules}"
            )

    def _check_budget(self, plan: Plan, order: Mapping[str, Any], budget: policies.Budget) -> None:
        paid = {row["round"] for row in self.ledger.releases().values() if row["run"] == _run(order)}
        wanted = plan.rounds - len(paid)
        spent = [*self.ledger.events(), *policies.evaluations(self.policy, plan)]
        left = policies.rounds_left(budget, spent, policies.a_round(self.policy, plan), wanted)
        if left < wanted:
            gone = self.ledger.spent(budget.delta)["all"]
            raise Declined(
                f"this run needs {wanted} rounds, and its privacy policy leaves room for {left}: of epsilon "
                f"{budget.epsilon:g} (delta {budget.delta:g}) {gone:.3g} is spent; ask for fewer rounds, "
                "or its data protection officer for a larger budget"
            )

    def _spend(self, order: Mapping[str, Any], digest: str, event: Event) -> None:
        if not self.ledger.spend(digest, event, self.policy.budget, _run(order), order["round"]):
            assert self.policy.budget is not None
            raise Declined(
                f"the privacy budget of its patients (epsilon {self.policy.budget.epsilon:g}, delta "
                f"{self.policy.budget.delta:g}) is spent, so it makes no more releases; its data protection officer "
                "decides about a larger one"
            )


def _run(order: Mapping[str, Any]) -> str:
    return serialization.sha256({"plan": order["plan"], "sites": order["sites"]})[:16]


def _exchange(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {"exchange": answer["exchange"]} if "exchange" in answer else {}


class Answers(Protocol):
    """Whatever answers orders for a site, as agent.SiteAgent does."""

    def answer(self, order: Mapping[str, Any]) -> dict[str, Any]: ...


class FilteredAgent:
    """A desk whose answers leave through a guard: how a site is rehearsed under a policy."""

    def __init__(self, agent: Answers, guard: ReplyFilter):
        self._desk, self._guard = agent, guard

    def answer(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """See SiteAgent.answer and Guard.answer."""
        return self._guard.answer(order, self._desk.answer(order))


def filtered(agent: Answers, site: str) -> Answers:
    """The desk as it is, or behind the policy of the privacy.json that BRAINCT_PRIVACY names: for rehearsals."""
    named = policy_file()
    return FilteredAgent(agent, reply_filter_in(named, site)) if named else agent


def reply_filter_in(file: Path, site: str, scope: str = "") -> ReplyFilter:
    """The guard that a privacy.json describes for this site, in this scope or in the default one."""
    return reply_filter_of(_arguments(file, scope), file.resolve().parent, site)


def reply_filter_if_any(file: Path | None, site: str) -> ReplyFilter | None:
    """The guard that a privacy.json describes for this site; None without such a file, or where it names no policy."""
    if file is None or not file.is_file() or FILTER not in file.read_text():
        return None
    return reply_filter_in(file, site)


def policy_file() -> Path | None:
    """The privacy.json that BRAINCT_PRIVACY names, for rehearsals."""
    named = os.environ.get(ENVIRONMENT)
    return Path(named) if named else None


def reply_filter_of(arguments: Mapping[str, Any], beside: Path, site: str) -> ReplyFilter:
    """The guard that a filter's arguments in privacy.json describe.

    Beside the keys of privacy.Policy they may have `folder`, for the ledger and the secret: relative to the folder of
    privacy.json, which is `beside`; `privacy` by default. Each site has its own folder below it.
    """
    choices = dict(arguments)
    folder = choices.pop("folder", "privacy")
    if not isinstance(folder, str):
        raise Refused(f"the privacy policy: folder is {folder!r}; wanted the name of a folder")
    return ReplyFilter(policies.policy_of(choices), Ledger(beside / folder / site), site)


def _arguments(file: Path, scope: str = "") -> dict[str, Any]:
    """The filter's arguments in a scope of a privacy.json, by default in its default scope."""
    try:
        content = json.loads(file.read_text())
        scopes = {scope["name"]: scope for scope in content["scopes"]}
        filters = scopes[scope or content["default_scope"]]["task_result_filters"]
        rows = [row for row in filters if row.get("path") == FILTER]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(f"{file} is no privacy.json with a default scope ({type(error).__name__}: {error})") from None
    if len(rows) != 1:
        raise Refused(f"{file}: scope {scope or content['default_scope']} has {len(rows)} {FILTER}; wanted one")
    arguments: dict[str, Any] = rows[0].get("args", {})
    return arguments

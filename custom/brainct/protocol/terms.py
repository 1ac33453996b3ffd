"""Which requests belong to the run that a site agreed to at the roll call; it declines every other one.

What is checked follows from the request and from what the site fixed on its own disk: no sample has been looked at.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from brainct.errors import Declined
from brainct.job.config import Plan
from brainct.protocol.requests import DescribeRequest, Request, TrainRequest


def terms_of(plan: Plan, sites: Sequence[str]) -> dict[str, Any]:
    """A run's terms as JSON: the plan with the scheme and the network in full, and the names of all sites."""
    terms: dict[str, Any] = json.loads(json.dumps({"plan": plan.model_dump(mode="json"), "sites": sorted(sites)}))
    return terms


def check_terms(fixed: Mapping[str, Any] | None, asked: Mapping[str, Any], site: str, run: str) -> None:
    """Decline a request of other terms than the run's; the reason names what differs."""
    if fixed is None:
        raise Declined(f"{site} knows no roll call of run {run}, and replies to no other request before one")
    plan, now = fixed["plan"], asked["plan"]
    differ = [key for key in sorted({*plan, *now}) if plan.get(key) != now.get(key)]
    differ += ["sites"] * (fixed["sites"] != asked["sites"])
    if differ:
        raise Declined(
            f"the server's request differs from what {site} agreed to at the roll call of run {run} "
            f"({', '.join(differ)}); it replies to requests of that run alone, begin a new run"
        )


def check_shared(fixed: Mapping[str, Any] | None, asked: Mapping[str, Any], site: str, run: str) -> None:
    """Refuse other shared values of the workload than those with which the run began at this site."""
    if fixed is not None and dict(fixed) != dict(asked):
        raise Declined(
            f"the server's shared values of the workload differ from those with which run {run} began at {site}; it "
            "replies to requests of that run alone, begin a new run"
        )


def check_round(request: Request, plan: Plan) -> None:
    """Decline a round that the plan does not have, and an evaluation that is not due after its round."""
    if isinstance(request, DescribeRequest):
        return
    number = request.round
    if isinstance(request, TrainRequest):
        if number >= plan.rounds:
            raise Declined(
                f"the server asks for round {number} of a run of {plan.rounds} rounds, the first of which is 0"
            )
    elif request.of and not (plan.cross_site and request.of in request.sites and request.fold == "test"):
        raise Declined(
            "the server asks for scores of a site's model; wanted one of this run's sites, its test fold, and "
            "cross_site in the run's plan"
        )
    elif not _due(request.fold, number, plan):
        raise Declined(
            f"the server asks for scores on fold {request.fold} after round {number}; the run's plan has them "
            f"{_when(plan) if request.fold == 'valid' else f'after all {plan.rounds} rounds'}"
        )


def _due(fold: str, number: int, plan: Plan) -> bool:
    if fold == "test":
        return number == plan.rounds
    every = plan.evaluate_every
    return bool(every) and number < plan.rounds and number % every == every - 1


def _when(plan: Plan) -> str:
    return f"every {plan.evaluate_every} rounds" if plan.evaluate_every else "in no round"


def evaluations(plan: Plan) -> int:
    """How many times a site scores the delivered model: on its validation fold when due, and at last on its test."""
    return 1 + (plan.rounds // plan.evaluate_every if plan.evaluate_every else 0)


def crossed(plan: Plan, sites: Sequence[str]) -> int:
    """How many models of single sites a site scores in addition to these: one of each of the run's sites, or none."""
    return len(sites) if plan.cross_site else 0

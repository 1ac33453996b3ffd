"""Which orders of a server belong to the run that a site agreed to at the roll call; every other one is refused.

A server that cheats may send any bytes. What is checked here follows from the order, and from what the site fixed on
its own disk, alone: no scan has been looked at, so the reason may be said to the server in words.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from brainct.core import serialization
from brainct.errors import Declined, one_line
from brainct.job.config import Plan

ORDERS = ("describe", "reply", "evaluate")
HELD_OUT = ("valid", "test")
"""Folds of which a site tells a model's scores; of the training scans they would tell about single patients."""

KEYS = {"what", "exchange", "round", "step", "sites", "run", "plan", "task", "new", "fold", "shared"}
LAST = 10**9


def check_order(order: Mapping[str, Any], site: str) -> None:
    """Refuse an order that is none of the three, or that an honest server could not have written."""
    what = order.get("what")
    if what not in ORDERS:
        raise Declined(f"the server's order is {one_line(what)!r}; wanted one of {', '.join(ORDERS)}")
    if what == "evaluate" and order.get("fold") not in HELD_OUT:
        raise Declined(
            f"the server asks for scores of fold {one_line(order.get('fold'))!r}; wanted {' or '.join(HELD_OUT)}"
        )
    if wrong := _wrong(order, site):
        raise Declined(f"the server's order has no usable {', '.join(wrong)}; is it another version of brainct?")


def _wrong(order: Mapping[str, Any], site: str) -> list[str]:
    """The parts of an order that are missing, of another kind, or none that orders have."""
    sites, task = order.get("sites"), order.get("task")
    sound = {
        "keys": set(order) <= KEYS,
        "exchange": isinstance(order.get("exchange", ""), str),
        "round": _whole(order.get("round")),
        "step": order.get("step", 0) in (0, 1) and _whole(order.get("step", 0)),
        "sites": _names(sites) and isinstance(sites, list | tuple) and site in sites,
        "run": isinstance(order.get("run"), str),
        "plan": isinstance(order.get("plan"), Mapping),
        "new": isinstance(order.get("new", True), bool),
        "shared": isinstance(order.get("shared", {}), Mapping),
        "task": order["what"] == "describe" or _is_task(task),
    }
    return [name for name, fine in sound.items() if not fine]


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LAST


def _names(sites: Any) -> bool:
    known = isinstance(sites, list | tuple) and all(isinstance(name, str) for name in sites)
    return known and len(set(sites)) == len(sites)


def _is_task(task: Any) -> bool:
    if not isinstance(task, Mapping) or set(task) != {"weights", "extra"}:
        return False
    weights, extra = task["weights"], task["extra"]
    return isinstance(weights, Mapping) and isinstance(extra, Mapping) and all(map(torch.is_tensor, weights.values()))


def terms_of(plan: Plan, sites: Sequence[str]) -> dict[str, Any]:
    """What a run is, as JSON: the plan with the scheme and the network in full, and the names of all sites."""
    terms: dict[str, Any] = json.loads(json.dumps({"plan": plan.model_dump(mode="json"), "sites": sorted(sites)}))
    return terms


def digest_of(terms: Mapping[str, Any]) -> str:
    """64 hex digits that stand for what a run is."""
    return hashlib.sha256(json.dumps(terms, sort_keys=True).encode()).hexdigest()


def check_terms(fixed: Mapping[str, Any] | None, asked: Mapping[str, Any], site: str, run: str) -> None:
    """Refuse an order for another run than the one that was fixed; what differs is named."""
    if fixed is None:
        raise Declined(f"{site} has heard of no roll call of run {run}; it answers nothing before")
    plan, now = fixed["plan"], asked["plan"]
    differ = [key for key in sorted({*plan, *now}) if plan.get(key) != now.get(key)]
    differ += ["sites"] * (fixed["sites"] != asked["sites"])
    if differ:
        raise Declined(
            f"the server's order differs from what {site} agreed to at the roll call of run {run} "
            f"({', '.join(differ)}); it answers orders of that run alone, begin a new run"
        )


def check_shared(fixed: Mapping[str, Any] | None, asked: Mapping[str, Any], site: str, run: str) -> None:
    """Refuse other shared values of the workload than those with which the run began at this site."""
    if fixed is not None and dict(fixed) != dict(asked):
        raise Declined(
            f"the server's shared values of the workload differ from those with which run {run} began at {site}; it "
            "replies to requests of that run alone, begin a new run"
        )


def check_round(order: Mapping[str, Any], plan: Plan) -> None:
    """Refuse a round that the plan does not have, and an evaluation in a round after which none is due."""
    number, what = order["round"], order["what"]
    if what == "reply" and number >= plan.rounds:
        raise Declined(f"the server asks for round {number} of a run of {plan.rounds} rounds, the first of which is 0")
    if what == "evaluate" and not _due(order["fold"], number, plan):
        raise Declined(
            f"the server asks for scores of fold {order['fold']} after round {number}; the run's plan has them "
            f"{_when(plan) if order['fold'] == 'valid' else f'after all {plan.rounds} rounds'}"
        )


def _due(fold: str, number: int, plan: Plan) -> bool:
    if fold == "test":
        return number == plan.rounds
    every = plan.evaluate_every
    return bool(every) and number < plan.rounds and number % every == every - 1


def _when(plan: Plan) -> str:
    return f"every {plan.evaluate_every} rounds" if plan.evaluate_every else "in no round"


def evaluations(plan: Plan) -> int:
    """How many evaluations a site answers in a run: those of its validation fold that are due, and the last one."""
    return 1 + (plan.rounds // plan.evaluate_every if plan.evaluate_every else 0)


def order_digest(order: Mapping[str, Any]) -> str:
    """64 hex digits over all that an answer may depend on; the exchange's name is not, which a resumed run repeats."""
    known = {key: order[key] for key in ("what", "round", "sites", "plan", "task")}
    known |= {"shared": order["shared"]} if order.get("shared") else {}
    return serialization.sha256({**known, "step": order.get("step", 0), "fold": order.get("fold", "")})

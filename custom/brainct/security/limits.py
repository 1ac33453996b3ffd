"""Limits of a site's policy on a job: which workloads, schemes and networks, how many rounds, how long, how often."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from brainct.core.scheme import names_in
from brainct.core.weights import Weights
from brainct.core.workload import Workload
from brainct.job.config import Plan, plan_of
from brainct.protocol.terms import crossed, evaluations


class Limits(BaseModel):
    """The most that a job may ask for; None sets no limit.

    networks: names, each for that network with its default options, or {architecture, options} with exactly these: a
    job's own network could copy samples into its gradient. rounds, evaluations: of one run. runs_a_day: that begin on
    one day. scans: the smallest batch: the gradient of a single sample shows its labels, and with some networks its
    picture. workloads, schemes: names; of a scheme within another, both must be listed. seconds: the longest that a job
    may let a round wait (its `deadline`), so that a machine is free again by then. cross_site: false: no job in which
    the other sites get the model that this site sends, to score it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    networks: tuple[str | dict[str, Any], ...] | None = None
    rounds: int | None = Field(None, ge=1)
    evaluations: int | None = Field(None, ge=1)
    runs_a_day: int | None = Field(None, ge=1)
    scans: int | None = Field(None, ge=1)
    workloads: tuple[str, ...] | None = None
    schemes: tuple[str, ...] | None = None
    seconds: float | None = Field(None, gt=0)
    cross_site: bool = True


def beyond(limits: Limits, plan: Plan, sites: Sequence[str] = ()) -> str | None:
    """Which limit a job exceeds with these sites, in a clause for people; None where it exceeds none."""
    if plan.cross_site and not limits.cross_site:
        return "the job gives the model that it sends to the other sites to score (cross_site), which it does not allow"
    return _unlisted(limits, plan) or _too_much(limits, plan, sites)


def _unlisted(limits: Limits, plan: Plan) -> str | None:
    if limits.workloads is not None and plan.workload not in limits.workloads:
        return f"the job's workload is {plan.workload}; it takes part in {_names(limits.workloads)}"
    if limits.schemes is not None and (other := [name for name in _schemes(plan) if name not in limits.schemes]):
        return (
            f"the job's scheme is {' of '.join(_schemes(plan))}; it takes part in {_names(limits.schemes)}, not in "
            + (", ".join(other))
        )
    if limits.networks is not None and not allowed(limits.networks, plan):
        name, options = plan.kind.network(plan)
        return f"the job's network is {name} with options {json.dumps(options)}; it trains {_names(limits.networks)}"
    return None


def _schemes(plan: Plan) -> list[str]:
    return names_in(plan.scheme, plan.arguments)


def _too_much(limits: Limits, plan: Plan, sites: Sequence[str]) -> str | None:
    if limits.seconds is not None and plan.deadline > limits.seconds:
        return (
            f"the job lets a round wait {plan.deadline:g} s (deadline); it takes part in at most {limits.seconds:g} s"
        )
    if limits.rounds is not None and plan.rounds > limits.rounds:
        return f"the job has {plan.rounds} rounds; it takes part in at most {limits.rounds}"
    asked = evaluations(plan) + crossed(plan, sites)
    if limits.evaluations is not None and asked > limits.evaluations:
        return f"the job evaluates {asked} times; it takes part in at most {limits.evaluations} evaluations a run"
    asked_for = plan.training.batch_size if plan.training else None
    few = asked_for[0] if isinstance(asked_for, list) else asked_for
    if limits.scans is not None and few is not None and few < limits.scans:
        return f"the job trains on too few scans at a time: {few}, wanted at least {limits.scans}"
    return None


GROWN = 2
"""How many times as wide as the plan's network a task's may be, with a scheme that widens networks."""
WIDENS = ("fedma",)


def reshaped(limits: Limits, plan: Plan, weights: Weights) -> str | None:
    """Which tensors of a task are not of the plan's network, in a clause; None where all are.

    A site takes the widths of its network from the weights that it is sent, where the architecture lets them differ.
    """
    if limits.networks is None:
        return None
    most = GROWN if set(_schemes(plan)) & set(WIDENS) else 1
    found = [
        key for key, own in tensors_of(plan).items() if key in weights and not _fits(own, weights[key].shape, most)
    ]
    listed = _names(limits.networks)
    return f"{', '.join(found[:3])} came in the shape of another network; it trains {listed}" if found else None


def tensors_of(plan: Plan) -> Mapping[str, tuple[int, ...]]:
    """The shapes of the network's tensors by name."""
    return _tensors(plan.model_dump_json())


@lru_cache(maxsize=8)
def _tensors(plan: str) -> Mapping[str, tuple[int, ...]]:
    built = plan_of(json.loads(plan), "the job")
    return {key: tuple(value.shape) for key, value in built.kind.initial(built, 0, 0).weights.items()}


def _fits(own: Sequence[int], sent: Sequence[int], most: int) -> bool:
    same = len(own) == len(sent)
    return same and all(width <= found <= most * width for width, found in zip(own, sent, strict=True))


def allowed(networks: Sequence[str | Mapping[str, Any]], plan: Plan) -> bool:
    """Whether the plan's network, with its options, is in the list."""
    name, options = plan.kind.network(plan)
    wanted = (name, _full(plan.kind, name, options))
    return any(_choice(plan.kind, one) == wanted for one in networks)


def _choice(workload: Workload, one: str | Mapping[str, Any]) -> tuple[str, Any]:
    name, options = (one, {}) if isinstance(one, str) else (one.get("architecture", ""), one.get("options", {}))
    return name, _full(workload, name, options)


def _full(workload: Workload, name: str, options: Mapping[str, Any]) -> Any:
    """All options with their values, as JSON has them."""
    return json.loads(json.dumps({**workload.options(name), **options}))


def _names(networks: Sequence[str | Mapping[str, Any]]) -> str:
    return ", ".join(one if isinstance(one, str) else json.dumps(one) for one in networks) or "none"

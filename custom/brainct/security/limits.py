"""What a site's policy lets a job ask of it: which networks, how many rounds, evaluations and runs a day."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from brainct.core.scheme import names_in
from brainct.core.weights import Weights
from brainct.core.workload import Workload
from brainct.job.config import Plan, plan_of
from brainct.protocol.terms import evaluations


class Limits(BaseModel):
    """What a job may ask for at most; None sets no limit.

    networks: names, each of which stands for that network with its default options, or {architecture, options} with
    exactly these: a network of a job's own making can be one that copies scans into its gradient. rounds, evaluations:
    of one run. runs_a_day: that begin on one day. scans: a job may have it train on no fewer at a time: from the
    gradient of a single one its labels can be read, and with some networks its picture.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    networks: tuple[str | dict[str, Any], ...] | None = None
    rounds: int | None = Field(None, ge=1)
    evaluations: int | None = Field(None, ge=1)
    runs_a_day: int | None = Field(None, ge=1)
    scans: int | None = Field(None, ge=1)


def beyond(limits: Limits, plan: Plan) -> str | None:
    """What of a job goes beyond the limits, in a clause for people; None where nothing does."""
    if limits.networks is not None and not allowed(limits.networks, plan):
        name, options = plan.kind.network(plan)
        return f"the job's network is {name} with options {json.dumps(options)}; it trains {_names(limits.networks)}"
    if limits.rounds is not None and plan.rounds > limits.rounds:
        return f"the job has {plan.rounds} rounds; it takes part in at most {limits.rounds}"
    if limits.evaluations is not None and (asked := evaluations(plan)) > limits.evaluations:
        return f"the job evaluates {asked} times; it answers at most {limits.evaluations} evaluations a run"
    few = plan.training.batch_size if plan.training else None
    if limits.scans is not None and few is not None and few < limits.scans:
        return f"the job trains on {few} scans at a time; it takes part from {limits.scans} on"
    return None


GROWN = 2
"""How many times as wide as the plan's network a task's may be, with a scheme that widens networks."""
WIDENS = ("fedma",)


def reshaped(limits: Limits, plan: Plan, weights: Weights) -> str | None:
    """Which tensors of a task would make the network another one than its plan's, in a clause; None where none would.

    A site takes the widths of its network from the weights that it is sent, where the architecture lets them differ.
    """
    if limits.networks is None:
        return None
    most = GROWN if set(names_in(plan.scheme, plan.arguments)) & set(WIDENS) else 1
    own_shapes = _shapes(plan.model_dump_json())
    found = [key for key, own in own_shapes if key in weights and not _fits(own, weights[key].shape, most)]
    listed = _names(limits.networks)
    return f"{', '.join(found[:3])} came in the shape of another network; it trains {listed}" if found else None


@lru_cache(maxsize=8)
def _shapes(plan: str) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The tensors of a plan's network by name, with the shape of each; plan: as JSON."""
    built = plan_of(json.loads(plan), "the job")
    return tuple((key, tuple(value.shape)) for key, value in built.kind.initial(built, 0, 0).weights.items())


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

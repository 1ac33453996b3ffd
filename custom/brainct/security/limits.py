"""What a site's policy lets a job ask of it: which networks, how many rounds, evaluations and runs a day."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from brainct.core.scheme import names_in
from brainct.core.weights import Weights
from brainct.ct.config import Network
from brainct.ct.networks import NETWORKS, build
from brainct.job.config import Plan
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
    if limits.networks is not None and not allowed(limits.networks, plan.network):
        own = json.dumps(plan.network.options)
        return (
            f"the job's network is {plan.network.architecture} with options {own}; it trains {_names(limits.networks)}"
        )
    if limits.rounds is not None and plan.rounds > limits.rounds:
        return f"the job has {plan.rounds} rounds; it takes part in at most {limits.rounds}"
    if limits.evaluations is not None and (asked := evaluations(plan)) > limits.evaluations:
        return f"the job evaluates {asked} times; it answers at most {limits.evaluations} evaluations a run"
    if limits.scans is not None and (few := plan.fit.batch_size) is not None and few < limits.scans:
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
    own_shapes = _shapes(plan.network.model_dump_json())
    found = [key for key, own in own_shapes if key in weights and not _fits(own, weights[key].shape, most)]
    listed = _names(limits.networks)
    return f"{', '.join(found[:3])} came in the shape of another network; it trains {listed}" if found else None


@lru_cache(maxsize=8)
def _shapes(network: str) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The tensors of a plan's network, as JSON, by name, with the shape of each."""
    chosen = Network.model_validate_json(network)
    built = build(chosen.architecture, chosen.channels, chosen.size, chosen.dims, 0, **chosen.options)
    return tuple((key, tuple(value.shape)) for key, value in built.state_dict().items())


def _fits(own: Sequence[int], sent: Sequence[int], most: int) -> bool:
    same = len(own) == len(sent)
    return same and all(width <= found <= most * width for width, found in zip(own, sent, strict=True))


def allowed(networks: Sequence[str | Mapping[str, Any]], network: Network) -> bool:
    """Whether the network, with its options, is in the list."""
    return any(_choice(one) == (network.architecture, _full(network.architecture, network.options)) for one in networks)


def _choice(one: str | Mapping[str, Any]) -> tuple[str, Any]:
    name, options = (one, {}) if isinstance(one, str) else (one.get("architecture", ""), one.get("options", {}))
    return name, _full(name, options)


def _full(name: str, options: Mapping[str, Any]) -> Any:
    """All options with their values, as JSON has them."""
    defaults = NETWORKS[name].options() if name in NETWORKS else {}
    return json.loads(json.dumps({**defaults, **options}))


def _names(networks: Sequence[str | Mapping[str, Any]]) -> str:
    return ", ".join(one if isinstance(one, str) else json.dumps(one) for one in networks) or "none"

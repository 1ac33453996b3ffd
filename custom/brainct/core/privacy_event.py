"""One release of a site's data under differential privacy, and the numbers that say what it gives away."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from brainct.errors import Refused

Kind = Literal["update", "training", "labels", "scores"]
KINDS: tuple[Kind, ...] = get_args(Kind)

NUMBERS: Mapping[str, tuple[str, ...]] = {
    "update": ("mu",),
    "training": ("noise", "sampling", "steps"),
    "labels": ("epsilon",),
    "scores": ("mu",),
}
"""The numbers that each kind has."""


@dataclass(frozen=True)
class Event:
    """One release, or many alike, and its numbers; the others are 0.

    security.accounting.UNITS says what each kind protects. Two data sets are neighbours that differ in one unit,
    exchanged for another; how many units there are is public. mu: of a Gaussian mechanism, sensitivity / standard
    deviation, > 0; for `update` and `scores`. noise, sampling, steps: for `training`, in each of the steps every
    patient takes part with probability `sampling` in (0, 1] and adds a vector of norm at most C to a sum with noise of
    standard deviation `noise` C. epsilon: for `labels`, >= 0, of a mechanism with delta 0.
    """

    kind: Kind
    mu: float = 0.0
    noise: float = 0.0
    sampling: float = 0.0
    steps: int = 0
    epsilon: float = 0.0

    def __post_init__(self) -> None:
        if said := _wrong(self):
            raise Refused(f"an event of the privacy ledger: {said}")


def _wrong(event: Event) -> str:
    """What is wrong with an event's numbers; empty where nothing is."""
    if event.kind not in KINDS:
        return f"kind is {event.kind!r}; wanted one of {', '.join(KINDS)}"
    own = NUMBERS[event.kind]
    for name in ("mu", "noise", "sampling", "steps", "epsilon"):
        value = getattr(event, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return f"{event.kind}: {name} is {value!r}; wanted a number"
        if name not in own and value != 0:
            return f"{event.kind}: {name} is {value:g}; it has no such number"
        if name in own and not (value > 0 or (name == "epsilon" and value == 0)):
            return f"{event.kind}: {name} is {value:g}; wanted more than 0"
    if event.sampling > 1 or event.steps != int(event.steps):
        return f"training: sampling is {event.sampling:g} and steps {event.steps:g}; wanted at most 1, and whole steps"
    return ""

"""A step of an optimiser at the server, after FedAvg: the mean change of the sites' models is its gradient."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from brainct.core import weights as w
from brainct.core.learner import Model
from brainct.core.scheme import Memory, Report, Scheme

Rule = Callable[[Tensor, Sequence[Tensor]], tuple[Tensor, Sequence[Tensor]]]


def at_the_server(averaging: Scheme, rule: Rule, begin: Sequence[float]) -> Scheme:
    """FedAvg, then rule(change, slots) -> (step, slots) on each floating tensor; begin: the slots before round 0."""

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        return {**averaging.start(model, sites, seed), "slots": [w.filled(model.weights, value) for value in begin]}

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        mean = averaging.combine(memory, round, reports)["weights"]
        changes, beyond, slots = w.difference(mean, memory["weights"]), {}, [dict(slot) for slot in memory["slots"]]
        for key, change in changes.items():
            step, new = rule(change, [slot[key].double() for slot in slots])
            beyond[key] = step - change
            for slot, value in zip(slots, new, strict=True):
                slot[key] = value.to(slot[key].dtype)
        return {**memory, "weights": w.add(mean, beyond), "slots": slots}

    return replace(averaging, start=start, combine=combine)

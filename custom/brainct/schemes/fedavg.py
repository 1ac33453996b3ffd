"""FedAvg: weighted averaging of locally trained models.

McMahan, Moore, Ramage, Hampson, Aguera y Arcas: Communication-Efficient Learning of Deep Networks from Decentralized
Data, AISTATS 2017, Algorithm 1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from brainct.core import weights as w
from brainct.core.arguments import one_of
from brainct.core.determinism import generator
from brainct.core.learner import Learner, Model
from brainct.core.scheme import About, ClientState, Memory, Report, Scheme, Task, registered
from brainct.schemes._ranges import number

ABOUT = {
    "fedavg": About(
        paper="McMahan et al., AISTATS 2017, Algorithm 1",
        family="averaging",
        sends="P to and P from each site asked",
        keeps="nothing",
        lost="left out of the round's mean",
        use="first: the baseline that is hard to beat",
        privacy="the server sees each site's model, or with `secagg` around it their sum alone",
        no_secure_aggregation="",
        no_noise="",
    )
}


@registered
def fedavg(fraction: float = 1.0, weight_by: str = "examples") -> Scheme:
    """w <- sum_k n_k/n w_k over the sites that answered.

    fraction: C in Algorithm 1, the share of sites asked in a round, in (0, 1]; at least one site is asked.
    weight_by: `examples` for n_k/n as in the paper, `equal` for 1/m.
    A lost site is left out of the round's mean. Peak memory of a round, beside its reports: the mean and two tensors.
    """
    number("fedavg: fraction", fraction, above=0, most=1)
    one_of("fedavg: weight_by", weight_by, ("examples", "equal"))

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        return {"weights": model.weights, "seed": seed}

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        asked = _sample(sites, fraction, memory["seed"], round)
        return {site: Task(memory["weights"]) for site in asked}

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        models = [(share(report.examples, weight_by), report.weights) for report in reports.values()]
        return {**memory, "weights": w.mean(models)}

    def coefficient(task: Task, report: Report) -> float:
        return share(report.examples, weight_by)

    return Scheme(start, assign, reply, combine, model=lambda memory: memory["weights"], coefficient=coefficient)


def reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
    """Train what came, send it back, keep nothing."""
    fitted = learner.fit(task.weights)
    return Report(fitted.weights, fitted.examples, metrics=fitted.metrics), client_state


def share(examples: int, weight_by: str) -> float:
    """A model's share in the mean: its n_k, or one."""
    return float(examples) if weight_by == "examples" else 1.0


def _sample(sites: Sequence[str], fraction: float, seed: int, round: int) -> Sequence[Any]:
    count = max(1, round_half_up(fraction * len(sites)))
    return sorted(generator(seed, "fedavg", round).choice(sites, count, replace=False).tolist())


def round_half_up(value: float) -> int:
    """The nearest whole number; halves go up, so that half of three sites is two."""
    return int(value + 0.5)

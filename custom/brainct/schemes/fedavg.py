"""FedAvg: weighted averaging of locally trained models.

McMahan, Moore, Ramage, Hampson, Aguera y Arcas: Communication-Efficient Learning of Deep Networks from Decentralized
Data, AISTATS 2017, Algorithm 1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from brainct.core import weights as w
from brainct.core.arguments import Fraction, WeightBy
from brainct.core.determinism import generator
from brainct.core.learner import Learner, Model
from brainct.core.scheme import About, ClientState, Memory, Report, Scheme, Task, registered

ABOUT = About(
    paper="McMahan et al., AISTATS 2017, Algorithm 1",
    family="averaging",
    summary="Each site trains the model on its own scans, and the server averages the trained models.",
    when="you begin: it is the baseline that is hard to beat",
    privacy="the server sees each site's model; with `secagg` around it, only their sum",
)


@registered(ABOUT)
def fedavg(fraction: Fraction = 1.0, weight_by: WeightBy = "examples") -> Scheme:
    """w <- sum_k n_k/n w_k over the sites that replied.

    fraction: C in Algorithm 1, the share of sites asked in a round, in (0, 1]; at least one site is asked.
    weight_by: `examples` for n_k/n as in the paper, `equal` for 1/m.

    Peak memory of a round, without its reports: the mean and two tensors.
    """

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        return {"weights": model.weights, "seed": seed}

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        asked = _sample(sites, fraction, memory["seed"], round)
        return {site: Task(memory["weights"]) for site in asked}

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        models = [(share(report.examples, weight_by), report.weights) for report in reports.values()]
        return {**memory, "weights": w.mean(models)}

    def aggregation_weight(task: Task, report: Report) -> float:
        return share(report.examples, weight_by)

    return Scheme(
        start,
        assign,
        reply,
        combine,
        model=lambda memory: memory["weights"],
        aggregation_weight=aggregation_weight,
        sent_model=as_sent,
    )


def reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
    """Train the task's weights and send them back; the client state stays as it is."""
    fitted = learner.fit(task.weights)
    return Report(fitted.weights, fitted.examples, metrics=fitted.metrics), client_state


def as_sent(task: Task, report: Report) -> w.Weights:
    """The model that a site sent, where its report is the whole model, or is empty."""
    return report.weights


def equal_weight(task: Task, report: Report) -> float:
    """The aggregation weight 1: every report counts the same, or is a sum already."""
    return 1.0


def share(examples: int, weight_by: str) -> float:
    """A model's share in the mean: its n_k, or one."""
    return float(examples) if weight_by == "examples" else 1.0


def _sample(sites: Sequence[str], fraction: float, seed: int, round: int) -> Sequence[Any]:
    count = max(1, round_half_up(fraction * len(sites)))
    return sorted(generator(seed, "fedavg", round).choice(sites, count, replace=False).tolist())


def round_half_up(value: float) -> int:
    """The nearest whole number; halves go up, so that half of three sites is two."""
    return int(value + 0.5)

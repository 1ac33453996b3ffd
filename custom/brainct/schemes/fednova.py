"""FedNova: a site counts by its direction, not by how many steps it took.

Wang, Liu, Liang, Joshi, Poor: Tackling the Objective Inconsistency Problem in Heterogeneous Federated Optimization,
NeurIPS 2020, equations 7 and 8, the case of plain SGD (a_k all ones, so that its norm is tau_k).
"""

from collections.abc import Mapping
from dataclasses import replace

from brainct.core import weights as w
from brainct.core.learner import Learner
from brainct.core.scheme import About, ClientState, Memory, Report, Scheme, Task, registered
from brainct.errors import Refused
from brainct.schemes._ranges import plain_sgd, whole
from brainct.schemes.fedavg import fedavg, share

ABOUT = {
    "fednova": About(
        paper="Wang et al., NeurIPS 2020, equations 7 and 8, plain SGD",
        family="drift",
        sends="P to and P from each site asked",
        keeps="nothing",
        lost="left out of the round's mean",
        use="sites take different numbers of steps in a round (other sizes, batches, epochs) with plain SGD",
        privacy="as `fedavg`; the server also sees each site's number of steps",
        no_secure_aggregation="",
        no_noise="",
    )
}


@registered
def fednova(fraction: float = 1.0, weight_by: str = "examples") -> Scheme:
    """w <- w + tau_eff sum_k p_k (w_k - w) / tau_k, with tau_eff = sum_k p_k tau_k and p_k = n_k/n.

    tau_k: the steps that site k took, from its training. Where all take the same number this is FedAvg.
    fraction, weight_by: p_k, as in `fedavg`. The mathematics is that of plain SGD without momentum at the same rate
    everywhere; a site that trains with Adam or momentum, whose way does not grow as tau_k, refuses.

    A site keeps nothing. A lost site is left out, also of tau_eff. Peak memory beside the reports: 6 models.
    """
    averaging = fedavg(fraction, weight_by)

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        found = [(share(x.examples, weight_by), x.extra["steps"], x.weights) for x in reports.values()]
        total = sum(n for n, _, _ in found)
        steps = sum(n * tau for n, tau, _ in found) / total
        per_step = sum(n / tau for n, tau, _ in found) / total
        mean = w.mean([(n / tau, weights) for n, tau, weights in found])
        beyond = w.scale(w.difference(mean, memory["weights"]), steps * per_step - 1)
        return {**memory, "weights": w.add(mean, beyond)}

    def coefficient(task: Task, report: Report) -> float:
        return share(report.examples, weight_by) / float(report.extra["steps"])

    return replace(averaging, reply=_reply, combine=combine, expects=_expects, coefficient=coefficient)


def _reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
    fitted = plain_sgd("fednova", learner.fit(task.weights))
    return Report(fitted.weights, fitted.examples, fitted.metrics, {"steps": fitted.steps}), client_state


def _expects(task: Task, report: Report) -> w.Weights:
    if "steps" not in report.extra:
        raise Refused("the report lacks extra/steps, the number of local steps")
    whole("extra/steps", report.extra["steps"], 1)
    return task.weights

"""FedNova: a site's share depends on its direction, not on how many steps it took.

Wang, Liu, Liang, Joshi, Poor: Tackling the Objective Inconsistency Problem in Heterogeneous Federated Optimization,
NeurIPS 2020, equations 7 and 8, the case of plain SGD (a_k all ones, so that its norm is tau_k).
"""

from collections.abc import Mapping
from dataclasses import replace

from brainct.core import weights as w
from brainct.core.arguments import Fraction, WeightBy
from brainct.core.learner import Learner
from brainct.core.scheme import About, ClientState, Memory, Report, Scheme, Task, registered
from brainct.errors import Refused, shown
from brainct.schemes._optimisers import plain_sgd
from brainct.schemes.fedavg import fedavg, share

ABOUT = About(
    paper="Wang et al., NeurIPS 2020, equations 7 and 8, plain SGD",
    family="drift",
    summary="FedAvg that divides each site's change by its number of training steps before averaging.",
    when="sites take different numbers of plain SGD steps in a round, because sizes, batches or epochs differ",
    privacy="as `fedavg`; the server also sees each site's number of steps",
)


@registered(ABOUT)
def fednova(fraction: Fraction = 1.0, weight_by: WeightBy = "examples") -> Scheme:
    """w <- w + tau_eff sum_k p_k (w_k - w) / tau_k, with tau_eff = sum_k p_k tau_k and p_k = n_k/n.

    fraction, weight_by: as in `fedavg`; weight_by sets p_k.

    tau_k is the number of steps that site k took. If all sites take the same number, this is FedAvg. The derivation
    holds for plain SGD without momentum at the same rate everywhere; a site that trains with Adam or momentum refuses,
    as the length of its change is not proportional to tau_k. A lost site is left out of tau_eff too. Peak memory
    without the reports: 6 models.
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

    def aggregation_weight(task: Task, report: Report) -> float:
        return share(report.examples, weight_by) / float(report.extra["steps"])

    return replace(averaging, reply=_reply, combine=combine, expects=_expects, aggregation_weight=aggregation_weight)


def _reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
    fitted = plain_sgd("fednova", learner.fit(task.weights))
    return Report(fitted.weights, fitted.examples, fitted.metrics, {"steps": fitted.steps}), client_state


def _expects(task: Task, report: Report) -> w.Weights:
    if "steps" not in report.extra:
        raise Refused("the report lacks extra/steps, the number of local steps")
    steps = report.extra["steps"]
    if type(steps) is not int or steps < 1:
        raise Refused(f"extra/steps is {shown(steps)}; wanted a whole number of at least 1")
    return task.weights

"""FedDyn: a regulariser that each site changes as it goes, so that sites and server come to rest at the same optimum.

Acar, Zhao, Matas Navarro, Mattina, Whatmough, Saligrama: Federated Learning Based on Dynamic Regularization, ICLR 2021,
Algorithm 1.
"""

from collections.abc import Mapping, Sequence

from brainct.core import weights as w
from brainct.core.arguments import Positive
from brainct.core.learner import Learner, Model
from brainct.core.scheme import About, ClientState, Memory, Report, Scheme, Task, registered
from brainct.schemes._acknowledged import acknowledged, counted, no_reports, state_with
from brainct.schemes._partial import refuse_nan
from brainct.schemes.fedavg import as_sent, equal_weight

ABOUT = About(
    paper="Acar et al., ICLR 2021, Algorithm 1",
    family="drift",
    summary="Each site adds a term to its loss that it updates in every round, so that all sites reach one optimum.",
    when="sites differ and train long in each round; it is unstable with few sites or a small alpha",
    sends="P to and P from each site",
    client_state="its gradient estimate before and after its last report, 2P",
    lost_site="left out of the round's mean; it takes its gradient estimate of that round back",
    privacy="the server needs only the mean; with `secagg` around it, it sees nothing else",
    blocks={
        "update_noise": "a site counts on its whole update in its gradient estimate, on which site and server must "
        "agree"
    },
)


@registered(ABOUT)
def feddyn(alpha: Positive = 0.1) -> Scheme:
    """Site k: theta_k <- argmin L_k(x) - <g_k, x> + alpha/2 |x - theta|^2, then g_k <- g_k - alpha (theta_k - theta).

    The server: h <- h - alpha/m sum_k (theta_k - theta) over the sites that replied, theta <- mean(theta_k) - h/alpha.

    alpha: the paper's alpha, > 0; the paper tries 0.001 to 0.1; with a small alpha the server takes very long steps.

    The argmin is the job's local training, with any optimiser. Means are plain: the optimum is that of the mean of the
    sites' losses, with the same weight for each site. g_k starts at 0. A lost site takes its last change of g_k back,
    so that h stays the mean of all g_k. Peak memory at the server, without the reports: 7 models.
    """

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        return {"weights": model.weights, "h": w.filled(model.weights, 0.0), "arrived": no_reports(sites)}

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        return {site: Task(memory["weights"], {"arrived": memory["arrived"][site]}) for site in sites}

    def reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
        own = acknowledged(task, client_state, w.filled(task.weights, 0.0))
        fitted = learner.fit(
            task.weights,
            penalty=lambda now: alpha / 2 * w.squared_distance(now, task.weights),
            correction=w.scale(own, -1),
        )
        refuse_nan(fitted)
        after = w.add(own, w.scale(w.difference(fitted.weights, task.weights), -alpha))
        return Report(fitted.weights, fitted.examples, metrics=fitted.metrics), state_with(task, own, after)

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        mean = w.mean([(1.0, report.weights) for report in reports.values()])
        share = len(reports) / len(memory["arrived"])
        h = w.add(memory["h"], w.scale(w.difference(mean, memory["weights"]), -alpha * share))
        weights = w.add(mean, w.scale(h, -1 / alpha))
        return {"weights": weights, "h": h, "arrived": counted(memory["arrived"], reports)}

    five = (start, assign, reply, combine, lambda memory: memory["weights"])
    return Scheme(*five, aggregation_weight=equal_weight, sent_model=as_sent)

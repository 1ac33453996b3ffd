"""FedDyn: a regulariser that each site changes as it goes, so that sites and server come to rest at the same optimum.

Acar, Zhao, Matas Navarro, Mattina, Whatmough, Saligrama: Federated Learning Based on Dynamic Regularization, ICLR 2021,
Algorithm 1.
"""

from collections.abc import Mapping, Sequence

from brainct.core import weights as w
from brainct.core.learner import Learner, Model
from brainct.core.scheme import About, ClientState, Memory, Report, Scheme, Task, alike, registered
from brainct.schemes._acknowledged import keeping, more, none, settled
from brainct.schemes._partial import refuse_nan
from brainct.schemes._ranges import number

ABOUT = {
    "feddyn": About(
        paper="Acar et al., ICLR 2021, Algorithm 1",
        family="drift",
        sends="P to and P from each site",
        keeps="its gradient estimate before and after its last report, 2P",
        lost="left out of the round's mean; takes its gradient estimate of that round back",
        use="sites differ and train long in each round; unstable with few sites or a small alpha",
        privacy="the server needs the mean alone, which is all that it sees with `secagg` around it",
        no_secure_aggregation="",
        no_noise="a site counts on its whole update in its gradient estimate, on which site and server must agree",
    )
}


@registered
def feddyn(alpha: float = 0.1) -> Scheme:
    """Site k: theta_k <- argmin L_k(x) - <g_k, x> + alpha/2 |x - theta|^2, then g_k <- g_k - alpha (theta_k - theta).

    The server: h <- h - alpha/m sum_k (theta_k - theta) over the sites that answered, theta <- mean(theta_k) - h/alpha.
    alpha: the paper's alpha, > 0; it tries 0.001 to 0.1; a small one lets the server leap.

    The argmin is the job's local training, of any optimiser. Means are plain: the optimum is that of the mean of the
    sites' losses, each site alike. A site keeps g_k, at first 0. A lost site is left out of the mean and takes its last
    change of g_k back, so that h stays the mean of all g_k. Peak memory at the server beside the reports:
    7 models.
    """
    number("feddyn: alpha", alpha, above=0)

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        return {"weights": model.weights, "h": w.filled(model.weights, 0.0), "arrived": none(sites)}

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        return {site: Task(memory["weights"], {"arrived": memory["arrived"][site]}) for site in sites}

    def reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
        own = settled(task, client_state, w.filled(task.weights, 0.0))
        fitted = learner.fit(
            task.weights,
            penalty=lambda now: alpha / 2 * w.squared_distance(now, task.weights),
            correction=w.scale(own, -1),
        )
        refuse_nan(fitted)
        after = w.add(own, w.scale(w.difference(fitted.weights, task.weights), -alpha))
        return Report(fitted.weights, fitted.examples, metrics=fitted.metrics), keeping(task, own, after)

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        mean = w.mean([(1.0, report.weights) for report in reports.values()])
        share = len(reports) / len(memory["arrived"])
        h = w.add(memory["h"], w.scale(w.difference(mean, memory["weights"]), -alpha * share))
        weights = w.add(mean, w.scale(h, -1 / alpha))
        return {"weights": weights, "h": h, "arrived": more(memory["arrived"], reports)}

    return Scheme(start, assign, reply, combine, model=lambda memory: memory["weights"], coefficient=alike)

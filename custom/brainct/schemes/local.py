"""Local training: every site trains alone on its own scans; the baseline that a federation must beat."""

from collections.abc import Mapping, Sequence

from brainct.core import weights as w
from brainct.core.learner import Learner, Model
from brainct.core.scheme import About, ClientState, Memory, Report, Scheme, Task, registered
from brainct.schemes._partial import refuse_nan
from brainct.schemes.fedavg import equal_weight

ABOUT = About(
    paper="none: the baseline without a federation",
    family="baselines",
    summary="Every site trains alone on its own scans, and no model leaves it.",
    when="you use any other scheme: a federation that does not beat local training is not worth its traffic",
    sends="nothing but counts and losses; with a start model, that model once to each site",
    client_state="its model, P",
    lost_site="loses its own round of training; the other sites lose nothing",
    privacy="no weights leave a site, so nothing is aggregated; the server sees counts of scans and losses",
)


@registered(ABOUT)
def local() -> Scheme:
    """Sites start from the run's weights and train in each round as in FedAvg; no trained tensor travels.

    Each site makes the seeded weights itself; a start model is in the tasks until each site's first report arrived. A
    site uses its own model, or the weights before round 0 while it has none; a held-out site is given those.
    Peak memory: one model at the server; a site holds one in addition to its training.
    """

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        return {"weights": model.weights, "waiting": sorted(sites) if model.given else []}

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        extra = {"start": memory["weights"]} if memory["waiting"] else {}
        return {site: Task({}, extra) for site in sites}

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        return {**memory, "waiting": [site for site in memory["waiting"] if site not in reports]}

    return Scheme(
        start,
        assign,
        _reply,
        combine,
        model=lambda memory: memory["weights"],
        personalise=_own,
        aggregation_weight=equal_weight,
        hides_updates=True,
        fixed_members=True,
        keeps_statistics=True,
    )


def _reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
    fitted = learner.fit(_own(task, learner, client_state))
    refuse_nan(fitted)
    return Report({}, fitted.examples, metrics=fitted.metrics), {"weights": fitted.weights}


def _own(task: Task, learner: Learner, client_state: ClientState) -> w.Weights:
    start = task.weights or task.extra.get("start")
    own: w.Weights = client_state.get("weights") or start or learner.initial().weights
    return own

"""Local training: every site trains alone on its own scans; the baseline that a federation must beat."""

from collections.abc import Mapping, Sequence

from brainct.core import weights as w
from brainct.core.learner import Learner, Model
from brainct.core.scheme import About, ClientState, Memory, Report, Scheme, Task, alike, registered
from brainct.schemes._partial import refuse_nan

ABOUT = {
    "local": About(
        paper="none: the baseline without a federation",
        family="baselines",
        sends="nothing but counts and losses",
        keeps="its model, P",
        lost="costs that site's round of training, and no other site anything",
        use="always, beside any other scheme: a federation that does not beat it is not worth its traffic",
        privacy="no weights leave a site, so nothing is aggregated; the server hears counts of scans and losses",
        no_secure_aggregation="",
        no_noise="",
    )
}


@registered
def local() -> Scheme:
    """Sites start from the run's seeded weights, train in each round as in FedAvg, and no tensor travels.

    A site keeps its model and uses it itself; one that kept nothing (yet) uses the seeded weights. A hospital outside
    the federation is given the weights before round 0, seeded or from the run's checkpoint; sites do not get that
    checkpoint, since nothing travels. A lost site goes on from what it kept. Peak memory: one model at the
    server; a site holds one beside its training.
    """

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        return {"weights": model.weights}

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        return {site: Task({}) for site in sites}

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        return memory

    return Scheme(
        start,
        assign,
        _reply,
        combine,
        model=lambda memory: memory["weights"],
        use=_own,
        coefficient=alike,
        sealed=True,
        fixed=True,
    )


def _reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
    fitted = learner.fit(_own(task, learner, client_state))
    refuse_nan(fitted)
    return Report({}, fitted.examples, metrics=fitted.metrics), {"weights": fitted.weights}


def _own(task: Task, learner: Learner, client_state: ClientState) -> w.Weights:
    own: w.Weights = client_state["weights"] if client_state else learner.initial().weights
    return own

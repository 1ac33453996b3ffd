"""FedAvg with local fine-tuning: the plain baseline that every personalisation has to beat.

Yu, Bagdasaryan, Shmatikov: Salvaging Federated Learning by Local Adaptation, arXiv 2002.04758, 2020, section 3.1.
"""

from collections.abc import Collection
from dataclasses import replace

from brainct.core.learner import Learner
from brainct.core.scheme import About, ClientState, Scheme, Task, registered
from brainct.core.weights import Weights
from brainct.schemes._ranges import whole
from brainct.schemes.fedavg import fedavg

ABOUT = {
    "finetune": About(
        paper="Yu, Bagdasaryan, Shmatikov, arXiv 2002.04758, 2020",
        family="personalisation",
        sends="P to and P from each site asked",
        keeps="nothing",
        lost="left out of the round's mean",
        use="before any other personal scheme: the baseline that they have to beat",
        privacy="as `fedavg`; what a site tunes stays there",
        no_secure_aggregation="",
        no_noise="",
    ),
}


@registered
def finetune(epochs: int = 5, fraction: float = 1.0, weight_by: str = "examples") -> Scheme:
    """FedAvg in every round; a site that uses the model first trains it on for some passes over its own scans.

    epochs: passes over the site's training scans each time it evaluates or uses the model, >= 1; nothing of them is
    kept or sent. fraction, weight_by: as in `fedavg`.

    A hospital outside gets FedAvg's model and may tune it likewise. A lost site and peak memory are as in `fedavg`.
    """
    whole("finetune: epochs", epochs, 1)

    def use(task: Task, learner: Learner, client_state: ClientState) -> Weights:
        return tuned(task.weights, learner, epochs)

    return replace(fedavg(fraction, weight_by), use=use, tunes=(epochs,))


def tuned(weights: Weights, learner: Learner, epochs: int, frozen: Collection[str] = ()) -> Weights:
    """The weights after some passes over the site's training scans, at the job's full rate whatever the round."""
    return learner.fit(weights, epochs=epochs, frozen=frozen, constant_rate=True).weights

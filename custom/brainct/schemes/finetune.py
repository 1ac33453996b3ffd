"""FedAvg with local fine-tuning: the simplest personalisation, and the baseline for all others.

Yu, Bagdasaryan, Shmatikov: Salvaging Federated Learning by Local Adaptation, arXiv 2002.04758, 2020, section 3.1.
"""

from collections.abc import Collection
from dataclasses import replace

from brainct.core.arguments import Count, Fraction, WeightBy
from brainct.core.learner import Learner
from brainct.core.scheme import About, ClientState, Scheme, Task, registered
from brainct.core.weights import Weights
from brainct.schemes.fedavg import fedavg

ABOUT = About(
    paper="Yu, Bagdasaryan, Shmatikov, arXiv 2002.04758, 2020",
    family="personalisation",
    summary="FedAvg; before a site uses the model, it trains it on for a few passes over its own scans.",
    when="you consider any other personal scheme: it is the baseline that they have to beat",
    privacy="as `fedavg`; the model that a site tunes stays there",
)


@registered(ABOUT)
def finetune(epochs: Count = 5, fraction: Fraction = 1.0, weight_by: WeightBy = "examples") -> Scheme:
    """FedAvg in every round; a site that uses the model first trains it on for some passes over its own scans.

    epochs: passes over the site's training scans each time it evaluates or uses the model, >= 1; their result is
    neither saved nor sent.
    fraction, weight_by: as in `fedavg`.

    A held-out site gets FedAvg's model and may tune it in the same way. Peak memory is as in `fedavg`.
    """

    def personalise(task: Task, learner: Learner, client_state: ClientState) -> Weights:
        return tune(task.weights, learner, epochs)

    return replace(fedavg(fraction, weight_by), personalise=personalise, tunes=(epochs,))


def tune(weights: Weights, learner: Learner, epochs: int, frozen: Collection[str] = ()) -> Weights:
    """The weights after some passes over the site's training scans, at the job's full rate whatever the round."""
    return learner.fit(weights, epochs=epochs, frozen=frozen, constant_rate=True).weights

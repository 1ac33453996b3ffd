"""Ditto: FedAvg, and in addition a personal model at each site that is pulled towards the shared one.

Li, Hu, Beirami, Smith: Ditto: Fair and Robust Federated Learning Through Personalization, ICML 2021, Algorithm 1.
"""

from dataclasses import replace

from torch import Tensor

from brainct.core.arguments import Count, Fraction, NotNegative, WeightBy
from brainct.core.learner import Learner
from brainct.core.scheme import About, ClientState, Report, Scheme, Task, registered
from brainct.core.weights import Weights, squared_distance
from brainct.schemes._partial import own_model, refuse_nan
from brainct.schemes.fedavg import fedavg

ABOUT = About(
    paper="Li, Hu, Beirami, Smith, ICML 2021, Algorithm 1",
    family="personalisation",
    summary="FedAvg trains a shared model, and each site trains a personal model near it for its own use.",
    when="each site wants a model of its own that stays near the shared one, and the worst site counts",
    sends="P to and P from each site",
    client_state="its personal model, P",
    lost_site="left out of the round's mean; it continues with its personal model",
    privacy="personal models never leave; for the shared one as `fedavg`",
)


@registered(ABOUT)
def ditto(
    lam: NotNegative = 1.0,
    personal_epochs: Count | None = None,
    fraction: Fraction = 1.0,
    weight_by: WeightBy = "examples",
) -> Scheme:
    """FedAvg on w; and v_k <- v_k - eta (grad f_k(v_k) + lambda (v_k - w)) at each site asked, w as delivered.

    lam: lambda in lambda/2 |v_k - w|^2, >= 0; 0 is local training, a large one holds v_k at w; for SGD below 2/eta.
    personal_epochs: passes over the site's scans for v_k in a round, >= 1; null for the job's epochs or steps.
    fraction, weight_by: as in `fedavg`.

    A site uses v_k instead of w; v_k starts at the first w that the site gets. A round costs it two trainings. A
    held-out site gets w. Peak memory at the server is as in `fedavg`; a site has w and v_k, two models, in addition to
    its training.
    """

    def reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
        def pull(weights: Weights) -> Tensor:
            return lam / 2 * squared_distance(weights, task.weights)

        fitted = learner.fit(task.weights)
        own = learner.fit(client_state.get("own", task.weights), epochs=personal_epochs, penalty=pull)
        refuse_nan(own)
        metrics = {**fitted.metrics, **{f"personal_{name}": value for name, value in own.metrics.items()}}
        return Report(fitted.weights, fitted.examples, metrics), {**client_state, "own": own.weights}

    return replace(fedavg(fraction, weight_by), reply=reply, personalise=own_model, fits=(None, personal_epochs))

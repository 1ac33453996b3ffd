"""FedProx: each site's loss pulls its model towards the one it was sent.

Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith: Federated Optimization in Heterogeneous Networks, MLSys 2020, Algorithm 2.
"""

from dataclasses import replace

from brainct.core import weights as w
from brainct.core.arguments import Fraction, NotNegative, WeightBy
from brainct.core.learner import Learner
from brainct.core.scheme import About, ClientState, Report, Scheme, Task, registered
from brainct.schemes.fedavg import fedavg
from brainct.schemes.fedavg import reply as plain_reply

ABOUT = About(
    paper="Li et al., MLSys 2020, Algorithm 2",
    family="drift",
    summary="FedAvg with a penalty in each site's loss that keeps its model near the one that it was sent.",
    when="sites differ and train long in each round, so that their models drift apart",
)


@registered(ABOUT)
def fedprox(mu: NotNegative = 0.01, fraction: Fraction = 1.0, weight_by: WeightBy = "examples") -> Scheme:
    """FedAvg with mu/2 |w - w_t|^2 added to each site's loss, where w_t is the model that it was sent.

    mu: the paper's mu, >= 0; the paper tries 0.001 to 1; at 0 the result is bit-identical to FedAvg.
    fraction, weight_by: as in `fedavg`.

    Peak memory at the server is as in `fedavg`; a site holds one model more.
    """

    def reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
        fitted = learner.fit(task.weights, penalty=lambda now: mu / 2 * w.squared_distance(now, task.weights))
        return Report(fitted.weights, fitted.examples, metrics=fitted.metrics), client_state

    return replace(fedavg(fraction, weight_by), reply=reply if mu else plain_reply)

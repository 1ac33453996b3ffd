"""FedProx: each site's loss pulls its model towards the one it was sent.

Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith: Federated Optimization in Heterogeneous Networks, MLSys 2020, Algorithm 2.
"""

from dataclasses import replace

from brainct.core import weights as w
from brainct.core.learner import Learner
from brainct.core.scheme import About, ClientState, Report, Scheme, Task, registered
from brainct.schemes._ranges import number
from brainct.schemes.fedavg import fedavg
from brainct.schemes.fedavg import reply as plain_reply

ABOUT = {
    "fedprox": About(
        paper="Li et al., MLSys 2020, Algorithm 2",
        family="drift",
        sends="P to and P from each site asked",
        keeps="nothing",
        lost="left out of the round's mean",
        use="sites differ and train long in each round, so that their models drift apart",
        privacy="as `fedavg`",
        no_secure_aggregation="",
        no_noise="",
    )
}


@registered
def fedprox(mu: float = 0.01, fraction: float = 1.0, weight_by: str = "examples") -> Scheme:
    """FedAvg with mu/2 |w - w_t|^2 added to each site's loss, where w_t is the model that it was sent.

    mu: the paper's mu, >= 0; 0 is FedAvg to the bit; the paper tries 0.001 to 1. fraction, weight_by: as in `fedavg`.
    A site keeps nothing. A lost site and the server's peak memory are as in `fedavg`; a site holds one model more.
    """
    number("fedprox: mu", mu, least=0)

    def reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
        fitted = learner.fit(task.weights, penalty=lambda now: mu / 2 * w.squared_distance(now, task.weights))
        return Report(fitted.weights, fitted.examples, metrics=fitted.metrics), client_state

    return replace(fedavg(fraction, weight_by), reply=reply if mu else plain_reply)

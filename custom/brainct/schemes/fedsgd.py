"""FedSGD: sites send the gradient over all their scans, the server takes the step. With mini-batches: `minibatch`.

McMahan, Moore, Ramage, Hampson, Aguera y Arcas: Communication-Efficient Learning of Deep Networks from Decentralized
Data, AISTATS 2017, section 2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from brainct.core import weights as w
from brainct.core.learner import Fitted, Learner, Model
from brainct.core.scheme import About, ClientState, Memory, Report, Scheme, Task, registered
from brainct.schemes._ranges import number
from brainct.schemes.fedavg import fedavg

ABOUT = {
    "fedsgd": About(
        paper="McMahan et al., AISTATS 2017, section 2",
        family="baselines",
        sends="P to and P (a gradient) from each site asked; one step a round",
        keeps="nothing",
        lost="left out of the round's gradient",
        use="to check a federation: its result is that of one computer with all scans; it needs thousands of rounds",
        privacy="gradients over few scans can be inverted into pictures; the server needs their sum alone, so secure "
        "aggregation is possible and advised",
        no_secure_aggregation="",
        no_noise="sites send gradients, which are no update of the model that they were given",
        no_private_training="sites send gradients over their scans without noise",
    )
}


@registered
def fedsgd(rate: float = 0.1, momentum: float = 0.0, fraction: float = 1.0, weight_by: str = "examples") -> Scheme:
    """v <- beta v + sum_k n_k/n grad L_k(w), then w <- w - eta v: one gradient step on all sites' scans together.

    rate: eta, > 0, constant; the job's own optimiser and rate are not used. momentum: beta in [0, 1), at the server.
    fraction, weight_by: as in `fedavg`.

    A site's gradient is that of the mean loss over all its training scans, without augmentation or dropout. Scans weigh
    alike where all findings are labelled; a site with missing labels spreads its weight over those it has. Tensors
    without a gradient (buffers, counters) never change. Sites keep nothing. A lost site is left out of the mean.
    Peak memory beside the reports: 6 models.
    """
    number("fedsgd: rate", rate, above=0)
    number("fedsgd: momentum", momentum, least=0, below=1)
    averaging = fedavg(fraction, weight_by)

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        return {**averaging.start(model, sites, seed), "velocity": w.filled(model.weights, 0.0)}

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        gradient = averaging.combine(memory, round, reports)["weights"]
        velocity = w.add(w.scale(memory["velocity"], momentum), gradient)
        return {**memory, "weights": w.add(memory["weights"], w.scale(velocity, -rate)), "velocity": velocity}

    return replace(averaging, start=start, reply=_reply, combine=combine)


def _reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
    return reported(task, learner.gradient(task.weights)), client_state


def reported(task: Task, fitted: Fitted) -> Report:
    """The gradient under the model's keys, 0 for what has none."""
    none = {key: value.new_zeros(value.shape) for key, value in task.weights.items() if key not in fitted.weights}
    return Report({**none, **fitted.weights}, fitted.examples, metrics=fitted.metrics)

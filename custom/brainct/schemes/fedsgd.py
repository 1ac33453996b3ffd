"""FedSGD: sites send the gradient over all their scans, the server takes the step. With mini-batches: `minibatch`.

McMahan, Moore, Ramage, Hampson, Aguera y Arcas: Communication-Efficient Learning of Deep Networks from Decentralized
Data, AISTATS 2017, section 2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from brainct.core import weights as w
from brainct.core.arguments import Fraction, Momentum, Positive, WeightBy
from brainct.core.learner import Fitted, Learner, Model
from brainct.core.scheme import About, ClientState, Memory, Report, Scheme, Task, registered
from brainct.schemes.fedavg import fedavg

ABOUT = About(
    paper="McMahan et al., AISTATS 2017, section 2",
    family="baselines",
    summary="Each site sends the gradient over all its scans, and the server takes one step along their mean.",
    when="you check a federation: the result is that of one computer with all scans, but needs thousands of rounds",
    sends="P to and P (a gradient) from each site asked; one step a round",
    lost_site="left out of the round's gradient",
    privacy="scans can be reconstructed from a gradient over few scans; the server needs only the sum, so use secure "
    "aggregation",
    blocks={
        "update_noise": "sites send gradients, which are not an update of the model that they were given",
        "private_training": "sites send gradients over their scans without noise",
    },
)


@registered(ABOUT)
def fedsgd(
    rate: Positive = 0.1, momentum: Momentum = 0.0, fraction: Fraction = 1.0, weight_by: WeightBy = "examples"
) -> Scheme:
    """v <- beta v + sum_k n_k/n grad L_k(w), then w <- w - eta v: one gradient step on all sites' scans together.

    rate: eta, > 0, constant; the job's own optimiser and rate are not used.
    momentum: beta in [0, 1), at the server.
    fraction, weight_by: as in `fedavg`.

    A site's gradient is that of the mean loss over all its training scans, without augmentation or dropout. All scans
    have the same weight if all findings are labelled; a site with missing labels spreads its weight over those it has.
    Tensors without a gradient (buffers, counters) never change. Peak memory without the reports: 6 models.
    """
    averaging = fedavg(fraction, weight_by)

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        return {**averaging.start(model, sites, seed), "velocity": w.filled(model.weights, 0.0)}

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        gradient = averaging.combine(memory, round, reports)["weights"]
        velocity = w.add(w.scale(memory["velocity"], momentum), gradient)
        return {**memory, "weights": w.add(memory["weights"], w.scale(velocity, -rate)), "velocity": velocity}

    four = replace(averaging, start=start, reply=_reply, combine=combine, sent_model=None)
    return replace(four, sent_gradient=lambda given, sent, like: (given, sent))


def _reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
    return gradient_report(task, learner.gradient(task.weights)), client_state


def gradient_report(task: Task, fitted: Fitted) -> Report:
    """The gradient under the model's keys, 0 for what has none."""
    none = {key: value.new_zeros(value.shape) for key, value in task.weights.items() if key not in fitted.weights}
    return Report({**none, **fitted.weights}, fitted.examples, metrics=fitted.metrics)

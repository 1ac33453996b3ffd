"""Distributed mini-batches: in each round a site sends the gradient over one batch, and the server takes the step.

Dekel, Gilad-Bachrach, Shamir, Xiao: Optimal Distributed Online Prediction Using Mini-Batches, JMLR 13, 2012, Algorithm
3, with gradient descent as the update rule.
"""

from dataclasses import replace

from brainct.core.arguments import Momentum, Positive
from brainct.core.learner import Learner
from brainct.core.scheme import About, ClientState, Report, Scheme, Task, registered
from brainct.schemes.fedsgd import fedsgd, gradient_report

ABOUT = About(
    paper="Dekel et al., JMLR 2012, Algorithm 3",
    family="baselines",
    summary="Each site sends the gradient over one mini-batch, and the server takes one step along their mean.",
    when="you check a federation as with `fedsgd`, with rounds that cost a site one batch instead of all its scans",
    sends="P to and P (a gradient) from each site; one step a round",
    lost_site="its batch is missing from the round's gradient",
    privacy="as `fedsgd`; a gradient over one batch covers fewer scans and is easier to invert",
    blocks={
        "update_noise": "sites send gradients, which are not an update of the model that they were given",
        "private_training": "sites send gradients over their scans without noise",
    },
)


@registered(ABOUT)
def minibatch(rate: Positive = 0.1, momentum: Momentum = 0.0) -> Scheme:
    """v <- beta v + 1/b sum_k b_k grad L(w; batch k), then w <- w - eta v: one step on a batch of b = sum_k b_k scans.

    rate, momentum: eta and beta of the server, as in `fedsgd`.

    Batch k has b_k scans of site k, drawn anew in each round and augmented as the job says; b_k is the job's
    `batch_size`, or all scans of a smaller site. In `fedsgd` a site's gradient is over all its scans and its share is
    their number; nothing else differs. With equal b_k, and the same share for each site, it is FedAvg over single
    steps of plain SGD at rate eta. Peak memory as in `fedsgd`.
    """
    return replace(fedsgd(rate, momentum), reply=_reply)


def _reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
    return gradient_report(task, learner.gradient(task.weights, batch=True)), client_state

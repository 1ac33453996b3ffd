"""Distributed mini-batches: in each round a site sends the gradient over one batch, the server takes the step.

Dekel, Gilad-Bachrach, Shamir, Xiao: Optimal Distributed Online Prediction Using Mini-Batches, JMLR 13, 2012, Algorithm
3, with gradient descent as the update rule.
"""

from dataclasses import replace

from brainct.core.learner import Learner
from brainct.core.scheme import About, ClientState, Report, Scheme, Task, registered
from brainct.schemes.fedsgd import fedsgd, reported

ABOUT = {
    "minibatch": About(
        paper="Dekel et al., JMLR 2012, Algorithm 3",
        family="baselines",
        sends="P to and P (a gradient) from each site; one step a round",
        keeps="nothing",
        lost="its batch is missing from the round's gradient",
        use="to check a federation, as `fedsgd`, with rounds that cost a site one batch in place of all its scans",
        privacy="as `fedsgd`, and over fewer scans: a gradient over one batch is easier to invert",
        no_secure_aggregation="",
        no_noise="sites send gradients, which are no update of the model that they were given",
        no_private_training="sites send gradients over their scans without noise",
    )
}


@registered
def minibatch(rate: float = 0.1, momentum: float = 0.0) -> Scheme:
    """v <- beta v + 1/b sum_k b_k grad L(w; batch k), then w <- w - eta v: one step on a batch of b = sum_k b_k scans.

    rate, momentum: eta and beta of the server, as in `fedsgd`. batch k: b_k scans of site k, drawn anew in each round;
    b_k is the job's `batch_size`, or all that a smaller site has. They are augmented as the job says.

    It differs from `fedsgd` in this alone: there a site's gradient is over all its scans and its share is their number.
    It is FedAvg over single steps of plain SGD at rate eta where all b_k are the same and sites count the same. A site
    keeps nothing. A lost site's batch is missing. Peak memory as in `fedsgd`.
    """
    return replace(fedsgd(rate, momentum), reply=_reply)


def _reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
    return reported(task, learner.gradient(task.weights, batch=True)), client_state

"""FedBABU: the body learns under one fixed random head; each hospital tunes the head for itself when it uses the model.

Oh, Kim, Yun: FedBABU: Toward Enhanced Representation for Federated Image Classification, ICLR 2022, Algorithm 1.
"""

from collections.abc import Sequence
from dataclasses import replace

from brainct.core.learner import Fitted, Learner
from brainct.core.scheme import About, ClientState, Scheme, Task, registered
from brainct.core.weights import Weights
from brainct.schemes._partial import Keys, head_of, partly, personal
from brainct.schemes._ranges import whole
from brainct.schemes.finetune import tuned

ABOUT = {
    "fedbabu": About(
        paper="Oh, Kim, Yun, ICLR 2022, Algorithm 1",
        family="personalisation",
        sends="P - H to and P - H from each site; once H, the initial head",
        keeps="the initial head",
        lost="left out of the round's mean; goes on with the same head as all",
        use="one body is wanted on which any hospital, outside ones too, tunes a head of its own",
        privacy="no trained head exists before a site uses the model; secure aggregation is possible",
        no_secure_aggregation="",
        no_noise="",
    ),
}


@registered
def fedbabu(head: Sequence[str] | None = None, tune_epochs: int = 5, weight_by: str = "examples") -> Scheme:
    """Only the body is trained and travels, w_B <- sum_k n_k/n w_B,k; the head stays as it began.

    head: as in `fedper`. tune_epochs: tau_f, passes over the site's training scans for the head alone, each time it
    evaluates or uses the model, >= 1; nothing of them is kept or sent. weight_by: `examples` for n_k/n as in the paper,
    `equal` for 1/m.

    A hospital outside gets what every site has, the averaged body under the initial head, and tunes that head on its
    own scans. A lost site has no share in the round's mean. Peak memory is as in `fedper`.
    """
    whole("fedbabu: tune_epochs", tune_epochs, 1)
    chosen = head_of(head, "fedbabu")

    def train(learner: Learner, weights: Weights, shared: Keys, own: Keys) -> Fitted:
        return learner.fit(weights, frozen=own)

    def use(task: Task, learner: Learner, client_state: ClientState) -> Weights:
        body = task.weights.keys() - chosen(learner.initial())
        return tuned(personal(task, learner, client_state), learner, tune_epochs, frozen=body)

    return replace(partly(chosen, weight_by, train, use), tunes=(tune_epochs,))

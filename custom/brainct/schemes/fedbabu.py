"""FedBABU: sites train the body under one fixed random head; a site tunes the head when it uses the model.

Oh, Kim, Yun: FedBABU: Toward Enhanced Representation for Federated Image Classification, ICLR 2022, Algorithm 1.
"""

from dataclasses import replace

from brainct.core.arguments import Count, ModulePaths, WeightBy
from brainct.core.learner import Fitted, Learner
from brainct.core.scheme import About, ClientState, Scheme, Task, registered
from brainct.core.weights import Weights
from brainct.schemes._partial import Keys, head_of, own_model, partial_averaging
from brainct.schemes.finetune import tune

ABOUT = About(
    paper="Oh, Kim, Yun, ICLR 2022, Algorithm 1",
    family="personalisation",
    summary="Sites train only the body of the network; each site tunes the last layer when it uses the model.",
    when="you want one body on which any site, held-out ones too, tunes a head of its own",
    sends="P - H to and P - H from each site; once H, the initial head",
    client_state="the initial head",
    lost_site="left out of the round's mean; it continues with the same head as all",
    privacy="no trained head exists before a site uses the model; secure aggregation is possible",
)


@registered(ABOUT)
def fedbabu(head: ModulePaths | None = None, tune_epochs: Count = 5, weight_by: WeightBy = "examples") -> Scheme:
    """Only the body is trained and travels, w_B <- sum_k n_k/n w_B,k; the head stays as it began.

    head: as in `fedper`.
    tune_epochs: tau_f, passes over the site's training scans for the head alone, each time it evaluates or uses the
    model, >= 1; their result is neither saved nor sent.
    weight_by: `examples` for n_k/n as in the paper, `equal` for 1/m.

    A held-out site gets what every site has, the averaged body under the initial head, and tunes that head on its own
    scans. Peak memory is as in `fedper`.
    """
    chosen = head_of(head, "fedbabu")

    def train(learner: Learner, weights: Weights, shared: Keys, own: Keys) -> Fitted:
        return learner.fit(weights, frozen=own)

    def personalise(task: Task, learner: Learner, client_state: ClientState) -> Weights:
        body = task.weights.keys() - chosen(learner.initial())
        return tune(own_model(task, learner, client_state), learner, tune_epochs, frozen=body)

    return replace(partial_averaging(chosen, weight_by, train, personalise), tunes=(tune_epochs,))

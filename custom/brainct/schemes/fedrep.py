"""FedRep: a shared body; each round trains the site's own head first, then the body under it.

Collins, Hassani, Mokhtari, Shakkottai: Exploiting Shared Representations for Personalized Federated Learning, ICML
2021, Algorithm 1.
"""

from dataclasses import replace

from brainct.core.arguments import Count, ModulePaths, WeightBy
from brainct.core.learner import Fitted, Learner
from brainct.core.scheme import About, Scheme, registered
from brainct.core.weights import Weights
from brainct.schemes._partial import Keys, head_of, partial_averaging

ABOUT = About(
    paper="Collins et al., ICML 2021, Algorithm 1",
    family="personalisation",
    summary="As FedPer, but each round trains the site's head first and the shared body after it.",
    when="`fedper` suits, and sites have enough scans for a head of their own and time for more passes",
    sends="P - H to and P - H from each site; once H, the initial head",
    client_state="its head",
    lost_site="left out of the round's mean; it continues with its head",
    privacy="as `fedper`",
)


@registered(ABOUT)
def fedrep(
    head: ModulePaths | None = None, head_epochs: Count = 10, body_epochs: Count = 1, weight_by: WeightBy = "equal"
) -> Scheme:
    """Train the head under the frozen body, then the body under the frozen head; phi <- 1/m sum_k phi_k, h_k stays.

    head: as in `fedper`.
    head_epochs: tau, passes over the site's scans for the head, >= 1, instead of the job's epochs or steps.
    body_epochs: passes for the body, >= 1, instead of the job's epochs or steps.
    weight_by: `equal` as in the paper, or `examples`.

    What a held-out site gets, and peak memory, are as in `fedper`. The loss reported is the body's.
    """

    def train(learner: Learner, weights: Weights, shared: Keys, own: Keys) -> Fitted:
        headed = learner.fit(weights, epochs=head_epochs, frozen=shared)
        return learner.fit(headed.weights, epochs=body_epochs, frozen=own)

    return replace(partial_averaging(head_of(head, "fedrep"), weight_by, train), fits=(head_epochs, body_epochs))

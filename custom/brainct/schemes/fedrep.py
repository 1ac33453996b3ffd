"""FedRep: a shared representation; each round fits the site's own head first, then the body under it.

Collins, Hassani, Mokhtari, Shakkottai: Exploiting Shared Representations for Personalized Federated Learning, ICML
2021, Algorithm 1.
"""

from collections.abc import Sequence
from dataclasses import replace

from brainct.core.learner import Fitted, Learner
from brainct.core.scheme import About, Scheme, registered
from brainct.core.weights import Weights
from brainct.schemes._partial import Keys, head_of, partly
from brainct.schemes._ranges import whole

ABOUT = {
    "fedrep": About(
        paper="Collins et al., ICML 2021, Algorithm 1",
        family="personalisation",
        sends="P - H to and P - H from each site; once H, the initial head",
        keeps="its head",
        lost="left out of the round's mean; goes on with its head",
        use="as `fedper`, where sites have scans enough for a head of their own and time for more passes",
        privacy="as `fedper`",
        no_secure_aggregation="",
        no_noise="",
    ),
}


@registered
def fedrep(
    head: Sequence[str] | None = None, head_epochs: int = 10, body_epochs: int = 1, weight_by: str = "equal"
) -> Scheme:
    """Train the head under the frozen body, then the body under the frozen head; phi <- 1/m sum_k phi_k, h_k stays.

    head: as in `fedper`. head_epochs: tau, passes over the site's scans for the head, >= 1. body_epochs: passes for the
    body, >= 1. Both take the place of the job's epochs or steps. weight_by: `equal` as in the paper, or `examples`.

    What a hospital outside is given, a lost site and peak memory are as in `fedper`. The loss reported is the body's.
    """
    whole("fedrep: head_epochs", head_epochs, 1)
    whole("fedrep: body_epochs", body_epochs, 1)

    def train(learner: Learner, weights: Weights, shared: Keys, own: Keys) -> Fitted:
        headed = learner.fit(weights, epochs=head_epochs, frozen=shared)
        return learner.fit(headed.weights, epochs=body_epochs, frozen=own)

    return replace(partly(head_of(head, "fedrep"), weight_by, train), fits=(head_epochs, body_epochs))

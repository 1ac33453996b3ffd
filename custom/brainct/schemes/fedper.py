"""FedPer: a shared body under heads that never leave their hospitals.

Arivazhagan, Aggarwal, Singh, Choudhary: Federated Learning with Personalization Layers, arXiv 1912.00818, 2019,
Algorithms 1 and 2.
"""

from collections.abc import Sequence

from brainct.core.scheme import About, Scheme, registered
from brainct.schemes._partial import head_of, partly

ABOUT = {
    "fedper": About(
        paper="Arivazhagan et al., arXiv 1912.00818, 2019, Algorithms 1 and 2",
        family="personalisation",
        sends="P - H to and P - H from each site; once H, the initial head",
        keeps="its head",
        lost="left out of the round's mean; goes on with its head",
        use="sites differ in how often findings occur or how they are labelled",
        privacy="the head, which shows a site's prevalences, never leaves; secure aggregation of the body is possible",
        no_secure_aggregation="",
        no_noise="",
    ),
}


@registered
def fedper(head: Sequence[str] | None = None, weight_by: str = "examples") -> Scheme:
    """Body and head are trained together; w_B <- sum_k n_k/n w_B,k, the personal layers w_P,k stay.

    head: module paths of the personal layers, such as ["head"] in `cnn` and ["class_layers"] in a DenseNet; null for
    the last layer (K_P = 1). weight_by: `examples` for gamma_k = n_k/n as in the paper, `equal` for 1/m.

    A hospital outside gets the averaged body under the initial head, which nobody trained: it has to train that head on
    its own scans before it relies on a prediction. No mean of heads takes its place, as they would have to leave their
    sites. A lost site goes on with its head and has no share in the round's mean. Peak memory beside a round's reports:
    two models and two tensors at the server, a head more than training at a site.
    """
    return partly(head_of(head, "fedper"), weight_by)

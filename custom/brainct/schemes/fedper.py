"""FedPer: a shared body under heads that never leave their sites.

Arivazhagan, Aggarwal, Singh, Choudhary: Federated Learning with Personalization Layers, arXiv 1912.00818, 2019,
Algorithms 1 and 2.
"""

from brainct.core.arguments import ModulePaths, WeightBy
from brainct.core.scheme import About, Scheme, registered
from brainct.schemes._partial import head_of, partial_averaging

ABOUT = About(
    paper="Arivazhagan et al., arXiv 1912.00818, 2019, Algorithms 1 and 2",
    family="personalisation",
    summary="All sites share the body of the network; each site keeps its last layer, the head, to itself.",
    when="sites differ in how often findings occur or how they are labelled",
    sends="P - H to and P - H from each site; once H, the initial head",
    client_state="its head",
    lost_site="left out of the round's mean; it continues with its head",
    privacy="the head, which reveals a site's prevalences, never leaves; secure aggregation of the body is possible",
)


@registered(ABOUT)
def fedper(head: ModulePaths | None = None, weight_by: WeightBy = "examples") -> Scheme:
    """Body and head are trained together; w_B <- sum_k n_k/n w_B,k, the personal layers w_P,k stay.

    head: module paths of the personal layers, such as ["head"] in `cnn` and ["class_layers"] in a DenseNet; null for
    the last layer (K_P = 1).
    weight_by: `examples` for gamma_k = n_k/n as in the paper, `equal` for 1/m.

    A held-out site gets the averaged body under the initial head, which no site trained: it has to train that head on
    its own scans before it relies on a prediction. There is no mean of the heads, as they would have to leave their
    sites. Peak memory without a round's reports: two models and two tensors at the server; at a site one head more than
    training.
    """
    return partial_averaging(head_of(head, "fedper"), weight_by)

"""LG-FedAvg: each hospital keeps the bottom of the network, its own representation; the top is shared.

Liang, Liu, Ziyin, Allen, Auerbach, Brent, Salakhutdinov, Morency: Think Locally, Act Globally: Federated Learning with
Local and Global Representations, arXiv 2001.01523, 2020, Algorithm 1.
"""

from collections.abc import Sequence

from brainct.core.learner import Model
from brainct.core.scheme import About, Scheme, registered
from brainct.schemes._partial import head_of, partly

ABOUT = {
    "lgfedavg": About(
        paper="Liang et al., arXiv 2001.01523, 2020, Algorithm 1",
        family="personalisation",
        sends="H to and H from each site; once P - H, the initial layers below",
        keeps="all layers below the shared top",
        lost="left out of the round's mean; goes on with its layers",
        use="sites differ in their scanners and have scans enough to train a body each; or traffic is dear",
        privacy="only the top leaves, but a head shows a site's prevalences; secure aggregation is possible",
        no_secure_aggregation="",
        no_noise="",
    ),
}


@registered
def lgfedavg(head: Sequence[str] | None = None, weight_by: str = "examples") -> Scheme:
    """FedPer reversed: theta_g <- sum_k n_k/n theta_g,k for the top; the layers below, l_k, are trained along and stay.

    head: module paths of the shared top, such as ["norm4", "head"] in `cnn`; null for the last layer alone. weight_by:
    `examples` for n_k/n as in the paper, `equal` for 1/m.

    A hospital outside gets the averaged top over initial layers, which nobody trained: of no use before it trained them
    on its own scans. Start from a checkpoint of `fedavg` to give it, and all sites, trained ones. A lost site goes on
    with its layers and has no share in the round's mean. Peak memory is as in `fedper`.
    """
    top = head_of(head, "lgfedavg")

    def bottom(model: Model) -> set[str]:
        return model.weights.keys() - top(model)

    return partly(bottom, weight_by)

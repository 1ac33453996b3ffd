"""LG-FedAvg: each site keeps the bottom of the network, its own representation; the top is shared.

Liang, Liu, Ziyin, Allen, Auerbach, Brent, Salakhutdinov, Morency: Think Locally, Act Globally: Federated Learning with
Local and Global Representations, arXiv 2001.01523, 2020, Algorithm 1.
"""

from brainct.core.arguments import ModulePaths, WeightBy
from brainct.core.learner import Model
from brainct.core.scheme import About, Scheme, registered
from brainct.schemes._partial import head_of, partial_averaging

ABOUT = About(
    paper="Liang et al., arXiv 2001.01523, 2020, Algorithm 1",
    family="personalisation",
    summary="The reverse of FedPer: sites share the last layer, and each site keeps the layers below to itself.",
    when="sites differ in their scanners and each has enough scans to train a body, or traffic is expensive",
    sends="H to and H from each site; once P - H, the initial layers below",
    client_state="all layers below the shared top",
    lost_site="left out of the round's mean; it continues with its layers",
    privacy="only the top leaves, but it reveals a site's prevalences; secure aggregation is possible",
)


@registered(ABOUT)
def lgfedavg(head: ModulePaths | None = None, weight_by: WeightBy = "examples") -> Scheme:
    """FedPer reversed: theta_g <- sum_k n_k/n theta_g,k for the top; the layers below, l_k, are trained along and stay.

    head: module paths of the shared top, such as ["norm4", "head"] in `cnn`; null for the last layer alone.
    weight_by: `examples` for n_k/n as in the paper, `equal` for 1/m.

    A held-out site gets the averaged top over initial layers, which no site trained: it can't use them before it
    trained them on its own scans. Start from a checkpoint of `fedavg` to give it, and all sites, trained ones. Peak
    memory is as in `fedper`.
    """
    top = head_of(head, "lgfedavg")

    def bottom(model: Model) -> set[str]:
        return model.weights.keys() - top(model)

    return partial_averaging(bottom, weight_by)

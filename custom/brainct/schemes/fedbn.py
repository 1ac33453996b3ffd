"""FedBN and SiloBN: hospitals share all but what normalises their scans.

Li, Jiang, Zhang, Kamp, Dou: FedBN: Federated Learning on Non-IID Features via Local Batch Normalization, ICLR 2021,
Algorithm 1. Andreux, Ogier du Terrail, Beguier, Tramel: Siloed Federated Learning for Multi-Centric Histopathology
Datasets, MICCAI DCL Workshop 2020 (SiloBN).
"""

from brainct.core.learner import Model
from brainct.core.scheme import About, Scheme, registered
from brainct.errors import Refused
from brainct.schemes._partial import NORMALISATION, of_kind, partly

ABOUT = {
    "fedbn": About(
        paper="Li et al., ICLR 2021, Algorithm 1",
        family="personalisation",
        sends="P - N to and P - N from each site, N the bytes of normalisation layers; once N, the initial ones",
        keeps="its normalisation layers",
        lost="left out of the round's mean; goes on with its layers",
        use="sites differ in their scanners",
        privacy="what shows a site's scanner most never leaves; secure aggregation of the rest is possible",
        no_secure_aggregation="",
        no_noise="",
    ),
    "silobn": About(
        paper="Andreux et al., MICCAI DCL Workshop 2020",
        family="personalisation",
        sends="P - S to and P - S from each site, S the bytes of running statistics (here none); once S, the initial",
        keeps="its running statistics",
        lost="left out of the round's mean; goes on with its statistics",
        use="sites differ in their scanners and the network has BatchNorm; on all networks here it is FedAvg",
        privacy="statistics of a site's scans never leave; secure aggregation of the rest is possible",
        no_secure_aggregation="",
        no_noise="",
    ),
}

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@registered
def fedbn(groupnorm: bool = True, weight_by: str = "equal") -> Scheme:
    """w <- 1/m sum_k w_k for all tensors but those of normalisation layers, weights, biases and statistics, which stay.

    The layers are found by their type: BatchNorm, InstanceNorm, LayerNorm, GroupNorm, each in all its variants.
    groupnorm: whether GroupNorm counts; the paper has BatchNorm alone, the networks here have GroupNorm alone: false
    makes this FedAvg on them. weight_by: `equal` as in the paper, or `examples`.

    A hospital outside gets the averaged rest around initial normalisation (scale 1, shift 0), which it should train on
    its own scans. A lost site goes on with its layers and has no share in the round's mean. Peak memory is as in
    `fedper`.
    """
    if not isinstance(groupnorm, bool):
        raise Refused(f"fedbn: groupnorm is {groupnorm!r}; wanted true or false")
    kinds = [kind for kind in NORMALISATION if groupnorm or kind != "GroupNorm"]
    return partly(lambda model: of_kind(model, kinds), weight_by)


@registered
def silobn(weight_by: str = "examples") -> Scheme:
    """FedAvg on all tensors but the running statistics of BatchNorm, which stay; the learned scale and shift travel.

    On a network without running statistics, such as all networks here, this is FedAvg to the bit.
    weight_by: as in `fedavg`.

    A hospital outside gets initial statistics (mean 0, variance 1) and has to estimate its own from its scans, which
    needs no labels, before the model is of use. A lost site goes on with its statistics and has no share in the
    round's mean. Peak memory is as in `fedper`.
    """
    return partly(statistics, weight_by)


def statistics(model: Model) -> set[str]:
    """Keys of the running statistics of normalisation layers."""
    return {key for key in of_kind(model, NORMALISATION) if key.rpartition(".")[2] in STATISTICS}

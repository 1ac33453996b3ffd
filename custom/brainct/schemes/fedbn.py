"""FedBN and SiloBN: sites share all tensors but those that normalise their scans.

Li, Jiang, Zhang, Kamp, Dou: FedBN: Federated Learning on Non-IID Features via Local Batch Normalization, ICLR 2021,
Algorithm 1. Andreux, Ogier du Terrail, Beguier, Tramel: Siloed Federated Learning for Multi-Centric Histopathology
Datasets, MICCAI DCL Workshop 2020 (SiloBN).
"""

from dataclasses import replace

from brainct.core.arguments import WeightBy
from brainct.core.learner import Model
from brainct.core.scheme import About, Scheme, registered
from brainct.schemes._partial import NORMALISATION, of_kind, partial_averaging

FEDBN = About(
    paper="Li et al., ICLR 2021, Algorithm 1",
    family="personalisation",
    summary="All sites share the network, but each site keeps its normalisation layers to itself.",
    when="sites differ in their scanners",
    sends="P - N to and P - N from each site, N the bytes of normalisation layers; once N, the initial ones",
    client_state="its normalisation layers",
    lost_site="left out of the round's mean; it continues with its layers",
    privacy="the layers that reveal most of a site's scanner never leave; secure aggregation of the rest is possible",
)
SILOBN = About(
    paper="Andreux et al., MICCAI DCL Workshop 2020",
    family="personalisation",
    summary="All sites share the network, but each site keeps its BatchNorm statistics to itself.",
    when="sites differ in their scanners and the network has BatchNorm; on all networks here it is FedAvg",
    sends="P - S to and P - S from each site, S the bytes of running statistics (here none); once S, the initial ones",
    client_state="its running statistics",
    lost_site="left out of the round's mean; it continues with its statistics",
    privacy="statistics of a site's scans never leave; secure aggregation of the rest is possible",
)

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@registered(FEDBN)
def fedbn(groupnorm: bool = True, weight_by: WeightBy = "equal") -> Scheme:
    """w <- 1/m sum_k w_k for all tensors but those of normalisation layers, weights, biases and statistics, which stay.

    groupnorm: whether GroupNorm counts; the paper has BatchNorm alone, the networks here have GroupNorm alone: false
    makes this FedAvg on them.
    weight_by: `equal` as in the paper, or `examples`.

    The layers are found by their type: BatchNorm, InstanceNorm, LayerNorm, GroupNorm, each in all its variants. A
    held-out site gets the averaged rest around initial normalisation (scale 1, shift 0), which it should train on its
    own scans. Peak memory is as in `fedper`.
    """
    kinds = [kind for kind in NORMALISATION if groupnorm or kind != "GroupNorm"]
    return replace(partial_averaging(lambda model: of_kind(model, kinds), weight_by), keeps_statistics=True)


@registered(SILOBN)
def silobn(weight_by: WeightBy = "examples") -> Scheme:
    """FedAvg on all tensors but the running statistics of BatchNorm, which stay; the learned scale and shift travel.

    weight_by: as in `fedavg`.

    On a network without running statistics, such as all networks here, the result is bit-identical to FedAvg. A
    held-out site gets initial statistics (mean 0, variance 1) and has to estimate its own from its scans, without
    labels, before it uses the model. Peak memory is as in `fedper`.
    """
    return replace(partial_averaging(statistics, weight_by), keeps_statistics=True)


def statistics(model: Model) -> set[str]:
    """Keys of the running statistics of normalisation layers."""
    return {key for key in of_kind(model, NORMALISATION) if key.rpartition(".")[2] in STATISTICS}

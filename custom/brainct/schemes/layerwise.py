"""Layer-wise averaging: only chosen layers are averaged, the others stay at their hospitals.

Adilova, Andriushchenko, Kamp, Fischer, Jaggi: Layer-wise Linear Mode Connectivity, ICLR 2024, section 6.
"""

from collections.abc import Sequence

from brainct.core.learner import Model
from brainct.core.scheme import About, Scheme, registered
from brainct.errors import Refused
from brainct.schemes._partial import partly, paths_of, under

ABOUT = {
    "layerwise": About(
        paper="Adilova et al., ICLR 2024, section 6",
        family="personalisation",
        sends="L to and L from each site, L the bytes of the chosen layers; once P - L, the initial others",
        keeps="the layers that are not chosen",
        lost="left out of the round's mean; goes on with its layers",
        use="asking which layers may be averaged; it is seldom better than averaging all",
        privacy="layers not chosen never leave; secure aggregation of the others is possible",
        no_secure_aggregation="",
        no_noise="",
    ),
}


@registered
def layerwise(layers: Sequence[str] | None = None, depth: int | None = None, weight_by: str = "examples") -> Scheme:
    """w_S <- sum_k n_k/n w_S,k for the chosen layers S; all others stay where they were trained.

    layers: module paths of S; a path takes all layers below it, an empty list none (local). depth: in place of layers,
    k for the first k layers that hold tensors, -k for the last k; k from 1 to their number. Neither: all layers, which
    is FedAvg to the bit. weight_by: as in `fedavg`.

    A hospital outside gets S averaged and initial values elsewhere, which it has to train on its own scans. A lost site
    goes on with its layers and has no share in the round's mean. Peak memory is as in `fedper`.
    """
    if layers is not None and depth is not None:
        raise Refused(f"layerwise: layers is {layers!r} and depth is {depth!r}; wanted one of them, or neither for all")
    if layers is not None:
        paths_of(layers, "layerwise: layers")
    if depth is not None and (isinstance(depth, bool) or not isinstance(depth, int) or depth == 0):
        raise Refused(f"layerwise: depth is {depth!r}; wanted k > 0 for the first k layers or k < 0 for the last -k")

    def stays(model: Model) -> set[str]:
        chosen = _first_or_last(model, depth) if depth is not None else layers
        return set() if chosen is None else model.weights.keys() - under(model, chosen, "layerwise: layers")

    return partly(stays, weight_by)


def _first_or_last(model: Model, depth: int) -> list[str]:
    paths = [layer.path for layer in model.layers]
    if abs(depth) > len(paths):
        raise Refused(f"layerwise: depth is {depth}; {model.architecture} has {len(paths)} layers that hold tensors")
    return paths[:depth] if depth > 0 else paths[depth:]

"""Layer-wise averaging: only chosen layers are averaged, the others stay at their sites.

Adilova, Andriushchenko, Kamp, Fischer, Jaggi: Layer-wise Linear Mode Connectivity, ICLR 2024, section 6.
"""

from typing import Annotated

from pydantic import Field

from brainct.core.arguments import WANTED, ModulePaths, WeightBy
from brainct.core.learner import Model
from brainct.core.scheme import About, Scheme, registered
from brainct.errors import Refused
from brainct.schemes._partial import partial_averaging, under

ABOUT = About(
    paper="Adilova et al., ICLR 2024, section 6",
    family="personalisation",
    summary="Sites share only the layers that you choose; the other layers stay at each site.",
    when="you ask which layers may be averaged; it is seldom better than averaging all",
    sends="L to and L from each site, L the bytes of the chosen layers; once P - L, the initial others",
    client_state="the layers that are not chosen",
    lost_site="left out of the round's mean; it continues with its layers",
    privacy="layers not chosen never leave; secure aggregation of the others is possible",
)

FIRST_OR_LAST = "k > 0 for the first k layers or k < 0 for the last -k"
Depth = Annotated[int, Field(json_schema_extra={WANTED: FIRST_OR_LAST})]


@registered(ABOUT)
def layerwise(
    layers: ModulePaths | None = None, depth: Depth | None = None, weight_by: WeightBy = "examples"
) -> Scheme:
    """w_S <- sum_k n_k/n w_S,k for the chosen layers S; all others stay where they were trained.

    layers: module paths of S; a path takes all layers below it, an empty list none (local training).
    depth: instead of `layers`, k for the first k layers that hold tensors, -k for the last k; k from 1 to their number;
    with neither argument S is all layers, and the result is bit-identical to FedAvg.
    weight_by: as in `fedavg`.

    A held-out site gets S averaged and initial values elsewhere, which it has to train on its own scans. Peak memory is
    as in `fedper`.
    """
    if layers is not None and depth is not None:
        raise Refused(f"layerwise: layers is {layers!r} and depth is {depth!r}; wanted one of them, or neither for all")
    if depth == 0:
        raise Refused(f"layerwise: depth is 0; wanted {FIRST_OR_LAST}")

    def stays(model: Model) -> set[str]:
        chosen = _first_or_last(model, depth) if depth is not None else layers
        return set() if chosen is None else model.weights.keys() - under(model, chosen, "layerwise: layers")

    return partial_averaging(stays, weight_by)


def _first_or_last(model: Model, depth: int) -> list[str]:
    paths = [layer.path for layer in model.layers]
    if abs(depth) > len(paths):
        raise Refused(f"layerwise: depth is {depth}; {model.architecture} has {len(paths)} layers that hold tensors")
    return paths[:depth] if depth > 0 else paths[depth:]

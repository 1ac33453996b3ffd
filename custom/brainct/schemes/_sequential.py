"""Plain chains of layers, the only networks whose units a scheme can permute; all others are refused."""

from collections.abc import Sequence

from brainct.core.learner import Layer, Model
from brainct.core.matching import Link
from brainct.core.weights import Weights
from brainct.errors import Refused

KINDS = ("Conv2d", "Conv3d", "Linear")


def chain_of(model: Model, treated: Sequence[str], whose: str, normalised: bool = False) -> list[Link]:
    """The network's layers in the order in which each reads the one before; at least two.

    treated: the architectures that are known to be plain chains, as a state dict does not show shortcuts.
    normalised: whether a GroupNorm may follow a layer. Any other network is Refused, with the layers at fault.
    """
    links: list[Link] = []
    faults: list[str] = []
    for before, layer in zip((None, *model.layers), model.layers, strict=False):
        if layer.kind in KINDS:
            links.append(_link(layer))
            if len(links) > 1 and not _reads(model.weights, links[-2], links[-1]):
                faults.append(f"{layer.path} (does not read {links[-2].weight})")
        elif normalised and layer.kind == "GroupNorm" and before and before.kind in KINDS:
            links[-1] = Link(links[-1].weight, [*links[-1].along, *layer.keys], layer.groups)
        else:
            faults.append(f"{layer.path} ({layer.kind})")
    if model.architecture not in treated or faults or len(links) < 2:
        found = ", ".join(faults[:4]) + (f" and {len(faults) - 4} more" if len(faults) > 4 else "")
        raise Refused(
            f"{whose} can't treat network {model.architecture!r}; wanted a plain chain, one of {', '.join(treated)}, "
            f"in which each layer reads the one before and nothing else. Layers at fault: {found or 'none'}"
        )
    return links


def _link(layer: Layer) -> Link:
    weight = next(key for key in layer.keys if key.endswith("weight"))
    return Link(weight, [*(key for key in layer.keys if key != weight)])


def _reads(weights: Weights, before: Link, link: Link) -> bool:
    """Whether a layer's inputs are the units before it: one to one, or, for a linear layer, in blocks of one size."""
    units, value = len(weights[before.weight]), weights[link.weight]
    return value.shape[1] == units if value.ndim > 2 else value.shape[1] % units == 0

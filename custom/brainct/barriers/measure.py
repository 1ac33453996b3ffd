"""Layer-wise linear mode connectivity: does the loss rise on the way from one model to another, and in which layer?

Adilova, Andriushchenko, Kamp, Fischer, Jaggi: Layer-wise Linear Mode Connectivity, ICLR 2024, sections 3 to 5. With
w(a) = (1 - a) A + a B, 0 <= a <= 1, and L a loss:

    full barrier       max_a L(w(a)) - ((1 - a) L(A) + a L(B))
    of layers S        the same, with w(a) = the base model, A or B, in which S alone is (1 - a) A_S + a B_S. What is
                       taken off are the losses of the two whole models, not those of the ends of this cut; so it is
                       at least 0 (the base model is on the cut), and differs between the bases
    bump of a cut      the same over the straight line between the cut's own ends: 0 wherever L is convex along it
    cumulative         of the first k layers from the bottom (input) or from the top (output), or in random order

Pure mathematics: a loss is a function from weights to a number.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations
from statistics import fmean
from typing import Any

from brainct.barriers.pair import Choices, Keys, Loss, Pair
from brainct.barriers.perturbations import perturbations
from brainct.barriers.trees import mean_of_trees
from brainct.core import weights as w
from brainct.core.determinism import generator
from brainct.core.learner import Layer
from brainct.core.weights import Weights
from brainct.errors import Refused


def measure_pair(
    a: Weights, b: Weights, layers: Sequence[Layer], loss: Loss, choices: Choices, updates: Sequence[Weights] = ()
) -> dict[str, Any]:
    """All that is measured between two models, as the plain data of barriers.json.

    layers: in order from the input to the output. updates: what training changed, w_i - start_i of any number of
    sites; with B - A they span the training subspace.
    """
    w.check_weights(b, a, "the second model")
    pair = Pair(a, b, loss, choices, loss(a), loss(b))
    full = pair.cut(a, a.keys())
    return {
        "losses": [pair.loss_a, pair.loss_b],
        "full": {"barrier": full.barrier(pair.loss_a, pair.loss_b), "bump": full.bump(), "excess": pair.excess(full)},
        "layers": [_layer(pair, layer) for layer in layers],
        "cumulative": cumulative(pair, [layer.keys for layer in layers]),
        "perturbations": perturbations(pair, layers, updates),
    }


def _layer(pair: Pair, layer: Layer) -> dict[str, Any]:
    found: dict[str, Any] = {"path": layer.path, "keys": list(layer.keys)}
    for name, base in (("a", pair.a), ("b", pair.b)):
        cut = pair.cut(base, layer.keys)
        found |= {f"base_{name}": cut.barrier(pair.loss_a, pair.loss_b), f"bump_{name}": cut.bump()}
        found |= {f"excess_{name}": pair.excess(cut)}
    return found


def cumulative(pair: Pair, parts: Sequence[Keys]) -> dict[str, list[float]]:
    """Barriers of the first 1, 2, ... parts in the order from the top, from the bottom, and in random orders.

    The mean of both bases, and of the random orders; at the even points alone.
    """
    random = generator(pair.choices.seed, "orders")
    shuffled = [[parts[at] for at in random.permutation(len(parts))] for _ in range(pair.choices.orders)]
    return {
        "top": _growing_barriers(pair, parts[::-1]),
        "bottom": _growing_barriers(pair, parts),
        "random": mean_of_trees([_growing_barriers(pair, order) for order in shuffled]),
    }


def _growing_barriers(pair: Pair, parts: Sequence[Keys]) -> list[float]:
    found, keys = [], set[str]()
    for part in parts:
        keys |= set(part)
        found.append(fmean(pair.barrier(base, keys, refine=False) for base in (pair.a, pair.b)))
    return found


def measure_pairs(
    models: Mapping[str, Weights], layers: Sequence[Layer], loss: Loss, choices: Choices, updates: Sequence[Weights]
) -> dict[str, Any]:
    """barriers.json over pairs of these models: means over the pairs, and each pair's barriers under `each`."""
    if len(models) < 2:
        raise Refused(f"barriers of {', '.join(models) or 'no model'}; wanted at least two models")
    every = list(combinations(models, 2))
    drawn = generator(choices.seed, "pairs").permutation(len(every))[: choices.pairs]
    pairs = [every[at] for at in sorted(drawn)]
    measure = partial(measure_pair, layers=layers, loss=loss, choices=choices, updates=updates)
    found = [measure(models[one], models[other]) for one, other in pairs]
    each = [
        {"pair": [*pair], "full": row["full"]["barrier"]}
        | {base: [layer[base] for layer in row["layers"]] for base in ("base_a", "base_b")}
        for pair, row in zip(pairs, found, strict=True)
    ]
    return {"pairs": [[*pair] for pair in pairs], "alphas": choices.alphas, **mean_of_trees(found), "each": each}


def lowest_layers(
    layers: Sequence[Mapping[str, Any]], count: int | None = None, below: float | None = None
) -> list[str]:
    """Paths of the layers with the lowest barriers, in the network's order: `count` of them, or all up to `below`.

    layers: those of barriers.json. A layer's barrier is the larger of its two bases'.
    """
    height = {layer["path"]: max(layer["base_a"], layer["base_b"]) for layer in layers}
    if (count is None) == (below is None):
        raise Refused("choose layers by number (--choose) or by their highest barrier (--below); wanted one of the two")
    if count is not None and not 0 <= count <= len(height):
        raise Refused(f"--choose is {count}; wanted a number from 0 to the {len(height)} layers that were measured")
    ranked = sorted(height, key=lambda path: height[path])
    lowest = ranked[:count] if count is not None else [path for path in ranked if height[path] <= (below or 0.0)]
    return [path for path in height if path in lowest]

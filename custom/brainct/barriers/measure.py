"""Layer-wise linear mode connectivity: does the loss rise on the way from one model to another, and in which layer?

Adilova, Andriushchenko, Kamp, Fischer, Jaggi: Layer-wise Linear Mode Connectivity, ICLR 2024, sections 3 to 5. With
w(a) = (1 - a) A + a B, 0 <= a <= 1, and L a loss:

    full barrier       max_a L(w(a)) - ((1 - a) L(A) + a L(B))
    of layers S        the same, with w(a) = the base model, A or B, in which S alone is (1 - a) A_S + a B_S. What is
                       taken off are the losses of the two whole models, not those of the ends of this cut; so it is
                       at least 0 (the base model lies on the cut), and differs between the bases
    bump of a cut      the same over the straight line between the cut's own ends: 0 wherever L is convex along it
    cumulative         of the first k layers from the bottom (input) or from the top (output), or in random order

Pure mathematics: a loss is a function from weights to a number.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from brainct.core import weights as w
from brainct.core.determinism import generator
from brainct.core.learner import Layer
from brainct.core.weights import Weights
from brainct.errors import Refused

Loss = Callable[[Weights], float]
Keys = Collection[str]

DIRECTIONS = ("interpolation", "random", "training", "null")
SCALES = (0.25, 0.5, 1.0)
"""Lengths of a perturbation as shares of |B_S - A_S|; a half reaches as far as the midpoint."""


@dataclass(frozen=True)
class Choices:
    """How finely to measure.

    points: of each path, both ends included, >= 3. refine: times that the two neighbours halfway to the highest point
    are measured too, >= 0. orders: random orders of the cumulative barrier, >= 1. samples: perturbations of each random
    kind, >= 1. pairs: of models, drawn without replacement, >= 1. seed: of all that is drawn.
    """

    points: int = 11
    refine: int = 3
    orders: int = 2
    samples: int = 3
    pairs: int = 3
    seed: int = 1

    def __post_init__(self) -> None:
        for name, least in (("points", 3), ("refine", 0), ("orders", 1), ("samples", 1), ("pairs", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise Refused(f"--{name} is {getattr(self, name)}; wanted at least {least}")

    @property
    def alphas(self) -> list[float]:
        """The points of a path, from 0 to 1."""
        return [at / (self.points - 1) for at in range(self.points)]


@dataclass(frozen=True)
class Cut:
    """Losses along a path by alpha, at its even points and at those added where it is highest."""

    losses: Mapping[float, float]

    def excess(self, start: float, end: float) -> dict[float, float]:
        """By alpha, the loss over the straight line from `start` to `end`."""
        return {alpha: loss - ((1 - alpha) * start + alpha * end) for alpha, loss in sorted(self.losses.items())}

    def barrier(self, start: float, end: float) -> float:
        """The largest excess over the line between these losses."""
        return max(self.excess(start, end).values())

    def bump(self) -> float:
        """The largest excess over the line between the cut's own ends; never under 0."""
        return self.barrier(self.losses[0.0], self.losses[1.0])


def mixed(base: Weights, a: Weights, b: Weights, alpha: float, keys: Keys) -> dict[str, Tensor]:
    """The base model with (1 - alpha) a + alpha b in these floating tensors; counters are the base's."""
    return {key: _between(a[key], b[key], alpha) if key in keys else value for key, value in base.items()}


def _between(a: Tensor, b: Tensor, alpha: float) -> Tensor:
    return ((1 - alpha) * a.double() + alpha * b.double()).to(a.dtype) if a.is_floating_point() else a


def walk(at: Callable[[float], float], choices: Choices, start: float, end: float) -> Cut:
    """Losses along a path; at: alpha -> loss. start, end: of the line over which the highest point is looked for."""
    losses = {alpha: at(alpha) for alpha in choices.alphas}
    step = 1 / (choices.points - 1)
    for _ in range(choices.refine):
        excess, step = Cut(losses).excess(start, end), step / 2
        best = max(excess, key=lambda alpha: excess[alpha])
        losses |= {alpha: at(alpha) for alpha in (best - step, best + step) if 0 < alpha < 1}
    return Cut(losses)


@dataclass(frozen=True)
class Between:
    """Two models of one network and what is measured between them."""

    a: Weights
    b: Weights
    loss: Loss
    choices: Choices
    loss_a: float
    loss_b: float

    def cut(self, base: Weights, keys: Keys, refine: bool = True) -> Cut:
        """The path on which the layers of these keys go from a to b in the base model."""
        choices = self.choices if refine else Choices(points=self.choices.points, refine=0)
        return walk(lambda alpha: self._loss(base, alpha, keys), choices, self.loss_a, self.loss_b)

    def barrier(self, base: Weights, keys: Keys, refine: bool = True) -> float:
        """The barrier of these layers with this base."""
        return self.cut(base, keys, refine).barrier(self.loss_a, self.loss_b)

    def excess(self, cut: Cut) -> list[float]:
        """A cut's excess at the even points."""
        excess = cut.excess(self.loss_a, self.loss_b)
        return [excess[alpha] for alpha in self.choices.alphas]

    def _loss(self, base: Weights, alpha: float, keys: Keys) -> float:
        if base is self.a and alpha == 0:
            return self.loss_a
        if base is self.b and alpha == 1:
            return self.loss_b
        return self.loss(mixed(base, self.a, self.b, alpha, keys))


def between(
    a: Weights, b: Weights, layers: Sequence[Layer], loss: Loss, choices: Choices, updates: Sequence[Weights] = ()
) -> dict[str, Any]:
    """All that is measured between two models, as the plain data of barriers.json.

    layers: in order from the input to the output. updates: what training changed, w_i - start_i of any number of
    sites; with B - A they span the training subspace.
    """
    w.check(b, a, "the second model")
    pair = Between(a, b, loss, choices, loss(a), loss(b))
    full = pair.cut(a, a.keys())
    return {
        "losses": [pair.loss_a, pair.loss_b],
        "full": {"barrier": full.barrier(pair.loss_a, pair.loss_b), "bump": full.bump(), "excess": pair.excess(full)},
        "layers": [_layer(pair, layer) for layer in layers],
        "cumulative": cumulative(pair, [layer.keys for layer in layers]),
        "perturbations": perturbations(pair, layers, updates),
    }


def _layer(pair: Between, layer: Layer) -> dict[str, Any]:
    found: dict[str, Any] = {"path": layer.path, "keys": list(layer.keys)}
    for name, base in (("a", pair.a), ("b", pair.b)):
        cut = pair.cut(base, layer.keys)
        found |= {f"base_{name}": cut.barrier(pair.loss_a, pair.loss_b), f"bump_{name}": cut.bump()}
        found |= {f"excess_{name}": pair.excess(cut)}
    return found


def cumulative(pair: Between, parts: Sequence[Keys]) -> dict[str, list[float]]:
    """Barriers of the first 1, 2, ... parts in the order from the top, from the bottom, and in random orders.

    The mean of both bases, and of the random orders; at the even points alone.
    """
    random = generator(pair.choices.seed, "orders")
    shuffled = [[parts[at] for at in random.permutation(len(parts))] for _ in range(pair.choices.orders)]
    return {
        "top": _growing(pair, parts[::-1]),
        "bottom": _growing(pair, parts),
        "random": averaged([_growing(pair, order) for order in shuffled]),
    }


def _growing(pair: Between, parts: Sequence[Keys]) -> list[float]:
    found, keys = [], set[str]()
    for part in parts:
        keys |= set(part)
        found.append(fmean(pair.barrier(base, keys, refine=False) for base in (pair.a, pair.b)))
    return found


def perturbations(pair: Between, layers: Sequence[Layer], updates: Sequence[Weights]) -> dict[str, Any]:
    """Rises of A's loss when the network, or one layer of it, is moved as far as B is away, in four kinds of direction.

    interpolation: towards B. random: standard normal. training: random in the span of the updates and B - A. null:
    random in the complement of that span. All have the length scale * |B_S - A_S|, scale in SCALES; the last three are
    means over samples. None where there is no such direction.
    """
    steps = [w.difference(pair.b, pair.a), *updates]
    parts = {layer.path: [key for key in layer.keys if key in steps[0]] for layer in layers}
    whole = [key for keys in parts.values() for key in keys]
    parts = {"": whole, **parts}
    rises = {path: _rises(pair, keys, steps, path) for path, keys in parts.items()}
    return {
        "scales": list(SCALES),
        "samples": pair.choices.samples,
        "rank": len(span([flat(step, whole) for step in steps])),
        "whole": rises.pop(""),
        "layers": [{"path": path, **found} for path, found in rises.items()],
    }


def _rises(pair: Between, keys: Sequence[str], steps: Sequence[Weights], path: str) -> dict[str, Any]:
    towards = flat(steps[0], keys)
    basis = span([flat(step, keys) for step in steps])
    random = generator(pair.choices.seed, "perturbations", path)
    found: dict[str, list[list[float]]] = {kind: [] for kind in DIRECTIONS}
    for sample in range(pair.choices.samples):
        noise = torch.from_numpy(random.standard_normal(len(towards)))
        for kind, direction in directions(towards, noise, basis).items():
            if direction is not None and (kind != "interpolation" or not sample):
                found[kind].append([_moved(pair, keys, direction, scale) for scale in SCALES])
    return {kind: averaged(rows) if rows else None for kind, rows in found.items()}


def directions(towards: Tensor, noise: Tensor, basis: Tensor) -> dict[str, Tensor | None]:
    """The four directions of `perturbations`, each (D,) and as long as `towards`.

    basis: (r, D), orthonormal rows that span the training subspace.
    """
    inside = basis.T @ (basis @ noise)
    return {
        "interpolation": towards,
        "random": _as_long(noise, towards),
        "training": _as_long(inside, towards) if len(basis) else None,
        "null": _as_long(noise - inside, towards) if len(basis) < len(towards) else None,
    }


def _as_long(direction: Tensor, other: Tensor) -> Tensor:
    return direction.mul(other.norm() / direction.norm())


def span(vectors: Sequence[Tensor]) -> Tensor:
    """(r, D) orthonormal rows that span these vectors, r their rank."""
    _, values, rows = torch.linalg.svd(torch.stack(list(vectors)), full_matrices=False)
    orthonormal: Tensor = rows[values > 1e-9 * values.max()]
    return orthonormal


def flat(weights: Weights, keys: Iterable[str]) -> Tensor:
    """(D,) float64: the values of these tensors in a row."""
    return torch.cat([weights[key].double().reshape(-1) for key in keys])


def _moved(pair: Between, keys: Sequence[str], direction: Tensor, scale: float) -> float:
    pieces = torch.split(scale * direction, [pair.a[key].numel() for key in keys])
    step = {key: piece.reshape(pair.a[key].shape) for key, piece in zip(keys, pieces, strict=True)}
    return pair.loss(w.add(pair.a, step)) - pair.loss_a


def averaged(trees: Sequence[Any]) -> Any:
    """The mean of trees of one shape: dicts, lists, numbers; None wherever one tree has None; words as in the first."""
    first = trees[0]
    if any(tree is None for tree in trees):
        return None
    if isinstance(first, Mapping):
        return {key: averaged([tree[key] for tree in trees]) for key in first}
    if isinstance(first, list):
        return [averaged(list(items)) for items in zip(*trees, strict=True)]
    return first if isinstance(first, str | int) else fmean(trees)


def of_pairs(
    models: Mapping[str, Weights], layers: Sequence[Layer], loss: Loss, choices: Choices, updates: Sequence[Weights]
) -> dict[str, Any]:
    """barriers.json over pairs of these models: means over the pairs, and each pair's barriers under `each`."""
    if len(models) < 2:
        raise Refused(f"barriers of {', '.join(models) or 'no model'}; wanted at least two models")
    every = list(combinations(models, 2))
    drawn = generator(choices.seed, "pairs").permutation(len(every))[: choices.pairs]
    pairs = [every[at] for at in sorted(drawn)]
    measure = partial(between, layers=layers, loss=loss, choices=choices, updates=updates)
    found = [measure(models[one], models[other]) for one, other in pairs]
    each = [
        {"pair": [*pair], "full": row["full"]["barrier"]}
        | {base: [layer[base] for layer in row["layers"]] for base in ("base_a", "base_b")}
        for pair, row in zip(pairs, found, strict=True)
    ]
    return {"pairs": [[*pair] for pair in pairs], "alphas": choices.alphas, **averaged(found), "each": each}


def chosen(layers: Sequence[Mapping[str, Any]], count: int | None = None, below: float | None = None) -> list[str]:
    """Paths of the layers with the lowest barriers, in the network's order: `count` of them, or all up to `below`.

    layers: those of barriers.json. A layer's barrier is the larger of its two bases'.
    """
    height = {layer["path"]: max(layer["base_a"], layer["base_b"]) for layer in layers}
    if (count is None) == (below is None):
        raise Refused("layers are chosen by --choose, how many, or by --below, a barrier; wanted one of the two")
    if count is not None and not 0 <= count <= len(height):
        raise Refused(f"--choose is {count}; wanted a number from 0 to the {len(height)} layers that were measured")
    ranked = sorted(height, key=lambda path: height[path])
    lowest = ranked[:count] if count is not None else [path for path in ranked if height[path] <= (below or 0.0)]
    return [path for path in height if path in lowest]

"""How a model's loss rises when the model is moved in four kinds of direction: interpolation, random, training, null.

Adilova et al., ICLR 2024, section 5.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from brainct.barriers.pair import Pair
from brainct.barriers.trees import mean_of_trees
from brainct.core import weights as w
from brainct.core.determinism import generator
from brainct.core.learner import Layer
from brainct.core.weights import Weights

DIRECTIONS = ("interpolation", "random", "training", "null")
SCALES = (0.25, 0.5, 1.0)
"""Lengths of a perturbation as shares of |B_S - A_S|; a half reaches as far as the midpoint."""


def perturbations(pair: Pair, layers: Sequence[Layer], updates: Sequence[Weights]) -> dict[str, Any]:
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
        "rank": len(span([flatten(step, whole) for step in steps])),
        "whole": rises.pop(""),
        "layers": [{"path": path, **found} for path, found in rises.items()],
    }


def _rises(pair: Pair, keys: Sequence[str], steps: Sequence[Weights], path: str) -> dict[str, Any]:
    towards = flatten(steps[0], keys)
    basis = span([flatten(step, keys) for step in steps])
    random = generator(pair.choices.seed, "perturbations", path)
    found: dict[str, list[list[float]]] = {kind: [] for kind in DIRECTIONS}
    for sample in range(pair.choices.samples):
        noise = torch.from_numpy(random.standard_normal(len(towards)))
        for kind, direction in directions(towards, noise, basis).items():
            if direction is not None and (kind != "interpolation" or not sample):
                found[kind].append([_loss_rise(pair, keys, direction, scale) for scale in SCALES])
    return {kind: mean_of_trees(rows) if rows else None for kind, rows in found.items()}


def directions(towards: Tensor, noise: Tensor, basis: Tensor) -> dict[str, Tensor | None]:
    """The four directions of `perturbations`, each (D,) and as long as `towards`.

    basis: (r, D), orthonormal rows that span the training subspace.
    """
    inside = basis.T @ (basis @ noise)
    return {
        "interpolation": towards,
        "random": _scaled_to(noise, towards),
        "training": _scaled_to(inside, towards) if len(basis) else None,
        "null": _scaled_to(noise - inside, towards) if len(basis) < len(towards) else None,
    }


def _scaled_to(direction: Tensor, other: Tensor) -> Tensor:
    return direction.mul(other.norm() / direction.norm())


def span(vectors: Sequence[Tensor]) -> Tensor:
    """(r, D) orthonormal rows that span these vectors, r their rank."""
    _, values, rows = torch.linalg.svd(torch.stack(list(vectors)), full_matrices=False)
    orthonormal: Tensor = rows[values > 1e-9 * values.max()]
    return orthonormal


def flatten(weights: Weights, keys: Iterable[str]) -> Tensor:
    """(D,) float64: the values of these tensors in a row."""
    return torch.cat([weights[key].double().reshape(-1) for key in keys])


def _loss_rise(pair: Pair, keys: Sequence[str], direction: Tensor, scale: float) -> float:
    pieces = torch.split(scale * direction, [pair.a[key].numel() for key in keys])
    step = {key: piece.reshape(pair.a[key].shape) for key, piece in zip(keys, pieces, strict=True)}
    return pair.loss(w.add(pair.a, step)) - pair.loss_a

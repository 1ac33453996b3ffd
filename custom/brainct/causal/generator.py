"""Draws tables of a known graph: linear or not, with sites at which the mechanism of a column is another one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from brainct.core.determinism import generator
from brainct.graphs.cpdag import Graph
from brainct.graphs.moments import Floats

Kind = Literal["hard", "sign", "noise", "both"]
KINDS: tuple[Kind, ...] = ("hard", "sign", "noise", "both")


@dataclass(frozen=True)
class Drawn:
    """rows: (n, p) by site. graph: (p, p) the true DAG. changed: (column, site number) with another mechanism."""

    rows: Sequence[Floats]
    graph: Graph
    changed: frozenset[tuple[int, int]]


@dataclass(frozen=True)
class Mechanisms:
    """weights: (p, p), i -> j in [i, j]. noise: (p,) standard deviations. linear: else cubic and quadratic."""

    weights: Floats
    noise: Floats
    linear: bool = True

    def draw(self, rows: int, rng: np.random.Generator) -> Floats:
        """(rows, p) values."""
        order, p = _order(self.weights), len(self.weights)
        found: Floats = np.zeros((rows, p))
        drawn = rng.standard_normal((rows, p)) * self.noise
        for j in order:
            causes = np.flatnonzero(self.weights[:, j])
            parts = [_effect(found[:, i], self.weights[i, j], self.linear, int(i + j)) for i in causes]
            found[:, j] = np.sum(parts, axis=0) + drawn[:, j] if parts else drawn[:, j]
        return found


def _effect(cause: Floats, weight: float, linear: bool, which: int) -> Floats:
    if linear:
        return np.asarray(weight * cause)
    scaled = cause / max(float(cause.std()), 1e-12)
    return np.asarray(weight * (scaled**2 if which % 2 else 0.5 * scaled**3 + 0.3 * scaled))


def _order(weights: Floats) -> list[int]:
    left, order = list(range(len(weights))), []
    while left:
        first = next(j for j in left if not any(weights[i, j] for i in left))
        order.append(first)
        left.remove(first)
    return order


def random_graph(p: int, degree: float, seed: int) -> Graph:
    """(p, p) a random DAG of this expected degree, its order shuffled."""
    rng = generator(seed, "causal", "graph")
    upper = np.triu(rng.random((p, p)) < degree / (p - 1), 1)
    order = rng.permutation(p)
    return np.array(upper[np.ix_(order, order)], np.int8)


def mechanisms(graph: Graph, seed: int, linear: bool = True) -> Mechanisms:
    """Weights of size 0.5 to 1.3 with random signs, noise of deviation 1, or 0.6 of the effects where not linear."""
    rng = generator(seed, "causal", "mechanisms")
    size = rng.uniform(0.5, 1.3, graph.shape) * rng.choice([-1.0, 1.0], graph.shape)
    caused = graph.any(0)
    return Mechanisms(size * (graph != 0), np.where(caused & (not linear), 0.6, 1.0), linear)


def changed(base: Mechanisms, columns: NDArray[np.int64], rng: np.random.Generator, hard: bool) -> Mechanisms:
    """The mechanisms with other ones for these columns; hard: causes removed wherever there are any."""
    weights, noise = base.weights.copy(), base.noise.copy()
    for j in columns:
        caused = bool(weights[:, j].any())
        kind: Kind = "hard" if hard and caused else KINDS[int(rng.integers(len(KINDS)))] if caused else "noise"
        if kind in ("hard", "both"):
            weights[:, j] = 0
        if kind == "sign":
            weights[:, j] *= -1
        if kind in ("noise", "both"):
            noise[j] *= rng.choice([0.5, 2.0])
    return Mechanisms(weights, noise, base.linear)


def draw(
    graph: Graph,
    rows: Sequence[int],
    seed: int,
    changes: int | None = 0,
    linear: bool = True,
    hard: bool = False,
    usual: int = 1,
) -> Drawn:
    """Tables of sites with so many rows each.

    changes: columns with another mechanism at every site but the first `usual` ones; None for 1 or 2.
    """
    base, tables, pairs = mechanisms(graph, seed, linear), [], set()
    for k, count in enumerate(rows):
        rng = generator(seed, "causal", "site", k)
        many = int(rng.integers(1, 3)) if changes is None else changes
        columns = np.sort(rng.permutation(len(graph))[: many if k >= usual else 0])
        pairs |= {(int(j), k) for j in columns}
        tables.append(changed(base, columns, rng, hard).draw(count, rng))
    return Drawn(tables, graph, frozenset(pairs))

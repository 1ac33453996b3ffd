"""One DAG over sites that differ: for each variable one shared mechanism, and the sites that have their own.

The score of a DAG G and the deviating sites D_i of each variable, in nats, this project's own:
J = sum_i { l(shared_i) - pen_i + sum_{k in D_i} [ l({k}) - pen_i - log m ] }, l(S) = -N_S/2 (1 + log s2_S),
pen_i = 1/2 (|pa_i| + 1) log N, and 1/2 log N more if offsets count as mechanism.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from brainct.graphs.cpdag import Graph, acyclic, extension
from brainct.graphs.moments import FLOOR, Family, Floats, Moments, pooled, regression

MOST, NEAR = 400, 2.0
"""DAGs of a class that are compared one by one; nats within which two orientations are not told apart."""


@dataclass(frozen=True)
class Group:
    """The best sharing of one family. value: its part of J. deviating: site numbers, ascending."""

    value: float
    deviating: tuple[int, ...]


class Environments:
    """The score over the sites' moments. offsets: a site's own intercept is a change of mechanism too."""

    def __init__(self, sites: Sequence[Moments], offsets: bool = False):
        self.sites, self.offsets = list(sites), offsets
        self._known: dict[Family, Group] = {}

    @property
    def variables(self) -> int:
        """p."""
        return self.sites[0].variables

    @cached_property
    def rows(self) -> float:
        """N."""
        return math.fsum(one.n for one in self.sites)

    def penalty(self, family: Family) -> float:
        """pen."""
        return 0.5 * (len(family) + self.offsets) * math.log(self.rows)

    def value(self, family: Family, deviating: Sequence[int]) -> float:
        """This family's part of J."""
        rest = [k for k in range(len(self.sites)) if k not in deviating]
        pen, own = self.penalty(family), self._own(family)
        together = float(self._together(family, [rest])[0]) - pen if rest else 0.0
        return math.fsum([together, *(float(own[k]) - pen - math.log(len(self.sites)) for k in deviating)])

    def _own(self, family: Family) -> Floats:
        """(m,) l of each site alone."""
        return self._together(family, [[k] for k in range(len(self.sites))])

    def _together(self, family: Family, which: Sequence[Sequence[int]]) -> Floats:
        """(b,) l of each of these groups of sites."""
        there = np.zeros((len(which), len(self.sites)))
        for row, one in zip(there, which, strict=True):
            row[list(one)] = 1.0
        index = np.ix_(range(len(self.sites)), list(family), list(family))
        count = there @ self._n
        joint = np.einsum("bk,kij->bij", there, self._second[index]) / count[:, None, None]
        if self.offsets:
            mean = there @ self._first[:, list(family)] / count[:, None]
            joint = joint - mean[:, :, None] * mean[:, None, :]
        return -0.5 * count * (1.0 + np.log(residuals(joint)))

    @cached_property
    def _n(self) -> Floats:
        return np.array([one.n for one in self.sites])

    @cached_property
    def _first(self) -> Floats:
        """(m, p) sums of values."""
        return np.stack([one.n * one.mean for one in self.sites])

    @cached_property
    def _second(self) -> Floats:
        """(m, p, p) sums of products, around each site's mean unless offsets count."""
        shift = [np.outer(one.mean, one.mean) * self.offsets for one in self.sites]
        return np.stack([one.n * (one.covariance + each) for one, each in zip(self.sites, shift, strict=True)])

    def group(self, family: Family) -> Group:
        """The best sharing: the site with the largest gain moves out while there is a gain, then one pass back."""
        family = (family[0], *sorted(family[1:]))
        if family not in self._known:
            self._known[family] = self._grouped(family)
        return self._known[family]

    def _grouped(self, family: Family) -> Group:
        active = [k for k, one in enumerate(self.sites) if not one.constant[family[0]]]
        if len(active) < len(self.sites):
            found = Environments([self.sites[k] for k in active], self.offsets).group(family) if active else _NONE
            return Group(found.value, tuple(active[k] for k in found.deviating))
        out: list[int] = []
        best, cost = self.value(family, out), self.penalty(family) + math.log(len(self.sites))
        own = self._own(family) - cost
        while len(out) < len(self.sites) - 1:
            rest = [k for k in range(len(self.sites)) if k not in out]
            moved = self._together(family, [[one for one in rest if one != k] for k in rest])
            values = moved - self.penalty(family) + own[rest] + own[out].sum()
            at = int(np.argmax(np.round(values, 9)))
            if values[at] - best <= 1e-9:
                break
            best, out = float(values[at]), [*out, rest[at]]
        for k in sorted(out):
            if (value := self.value(family, [one for one in out if one != k])) - best > 1e-9:
                best, out = value, [one for one in out if one != k]
        return Group(best, tuple(sorted(out)))

    def total(self, dag: Graph) -> float:
        """J with the best sharing of each variable."""
        return math.fsum(self.group(family).value for family in families_of(dag))

    def deviating(self, dag: Graph) -> list[tuple[int, ...]]:
        """For each variable the sites with a mechanism of their own."""
        return [self.group(family).deviating for family in families_of(dag)]

    def mechanism(self, family: Family) -> Mapping[str, Floats]:
        """Shared coefficients, and those of each deviating site by its number."""
        out = self.group(family).deviating
        rest = [self.sites[k] for k in range(len(self.sites)) if k not in out]
        found = {"shared": regression(pooled(rest, self.offsets).covariance, family)[0]} if rest else {}
        return found | {str(k): regression(self.sites[k].covariance, family)[0] for k in out}


_NONE = Group(0.0, ())


def residuals(joint: Floats) -> Floats:
    """(b,) residual variances of the first variable of each (f, f) covariance given the others, at least FLOOR."""
    own, scale = joint[:, 0, 0], np.sqrt(np.einsum("bii->bi", joint)[:, 1:])
    family = tuple(range(joint.shape[1]))
    if (scale <= 1e-12 * np.maximum(1.0, scale.max(initial=0.0))).any():
        return np.array([regression(one, family)[1] for one in joint])
    inner = joint[:, 1:, 1:] / (scale[:, :, None] * scale[:, None, :])
    right = joint[:, 1:, 0] / scale
    try:
        found = np.linalg.solve(inner, right[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:
        return np.array([regression(one, family)[1] for one in joint])
    return np.asarray(np.maximum(own - np.einsum("bi,bi->b", right, found), FLOOR * own))


def families_of(dag: Graph) -> list[Family]:
    """Each variable with its parents."""
    return [(i, *np.flatnonzero(dag[:, i]).tolist()) for i in range(len(dag))]


def climbed(score: Environments, dag: Graph, max_parents: int, forbidden: Graph | None = None) -> Graph:
    """The end of a greedy search by adding, removing and turning single edges, from this DAG."""
    dag = dag.copy()
    while True:
        moves = [(gain, -i, -j, kind) for gain, i, j, kind in _moves(score, dag, max_parents, forbidden)]
        for gain, i, j, kind in sorted(moves, reverse=True):
            if gain <= 1e-6:
                return dag
            changed = _with(dag, -i, -j, kind)
            if acyclic(changed):
                dag = changed
                break
        else:
            return dag


def _with(dag: Graph, i: int, j: int, kind: str) -> Graph:
    found = dag.copy()
    found[i, j] = kind == "add"
    found[j, i] = kind == "turn"
    return found


def _moves(score: Environments, dag: Graph, most: int, forbidden: Graph | None) -> list[tuple[float, int, int, str]]:
    """(gain, i, j, kind) of all single changes to the edge i -> j."""
    families = families_of(dag)
    now = [score.group(one).value for one in families]

    def gain(j: int, parents: Sequence[int]) -> float:
        return score.group((j, *parents)).value - now[j]

    found = []
    for i, j in np.argwhere(dag).tolist():
        rest = gain(j, [k for k in families[j][1:] if k != i])
        found.append((rest, i, j, "remove"))
        if len(families[i]) <= most and (forbidden is None or not forbidden[j, i]):
            found.append((rest + gain(i, [*families[i][1:], j]), i, j, "turn"))
    for i, j in np.argwhere((dag == 0) & (dag.T == 0)).tolist():
        if i != j and len(families[j]) <= most and (forbidden is None or not forbidden[i, j]):
            found.append((gain(j, [*families[j][1:], i]), i, j, "add"))
    return found


def extensions(graph: Graph, most: int = MOST, forbidden: Graph | None = None) -> tuple[list[Graph], bool]:
    """The DAGs of a class, and whether these are all of them: by turning covered edges, one after the other."""
    first = extension(graph)
    seen, todo = {first.tobytes()}, [first]
    for dag in todo:
        for i, j in np.argwhere(dag).tolist():
            before = dag[:, j].copy()
            before[i] = 0
            if not np.array_equal(before, dag[:, i]):
                continue
            turned = _with(dag, i, j, "turn")
            if turned.tobytes() not in seen:
                if len(todo) >= most:
                    return _allowed(todo, forbidden), False
                seen.add(turned.tobytes())
                todo.append(turned)
    return _allowed(todo, forbidden), True


def _allowed(dags: list[Graph], forbidden: Graph | None) -> list[Graph]:
    """Those with the fewest edges against the rule."""
    if forbidden is None:
        return dags
    against = [int((dag.astype(bool) & forbidden.astype(bool)).sum()) for dag in dags]
    return [dag for dag, count in zip(dags, against, strict=True) if count == min(against)]

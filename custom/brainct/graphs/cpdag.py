"""Completed partially directed graphs: sets as bits, validity of operators, orientation rules, canonical form.

Array A of (p, p): A[i, j] = 1 and A[j, i] = 0 is i -> j; both 1 is i - j. Operators are applied and completed by `ges`.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from brainct.graphs.library import ges

Graph = NDArray[np.int8]


def bits(members: Sequence[int]) -> int:
    """A set as a number."""
    return sum(1 << one for one in members)


@lru_cache(maxsize=2**16)
def members(mask: int) -> tuple[int, ...]:
    """The set in a number, ascending."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return tuple(found)


class Sets:
    """Each variable's parents, neighbours (i - j), adjacent variables and where an edge may lead, as bits."""

    def __init__(self, graph: Graph):
        there = np.asarray(graph) != 0
        self.p = len(there)
        self.parents = [bits(np.flatnonzero(there[:, i] & ~there[i]).tolist()) for i in range(self.p)]
        self.neighbours = [bits(np.flatnonzero(there[:, i] & there[i]).tolist()) for i in range(self.p)]
        self.onward = [bits(np.flatnonzero(there[i]).tolist()) for i in range(self.p)]
        self._reached: dict[tuple[int, int], int] = {}

    @cached_property
    def adjacent(self) -> list[int]:
        """Whatever an edge joins."""
        return [self.onward[i] | self.parents[i] for i in range(self.p)]

    def clique(self, mask: int) -> bool:
        """Whether all of these are adjacent to each other."""
        return all(mask & ~(1 << one) & ~self.adjacent[one] == 0 for one in members(mask))

    def blocked(self, start: int, end: int, mask: int) -> bool:
        """Whether each semi-directed path from start to end has one of these on it."""
        if (start, mask) not in self._reached:
            self._reached[start, mask] = self._from(start, mask)
        return not self._reached[start, mask] >> end & 1

    def _from(self, start: int, mask: int) -> int:
        """What semi-directed paths that avoid these lead to."""
        seen = todo = 1 << start
        while todo:
            reached = 0
            for one in members(todo):
                reached |= self.onward[one]
            todo = reached & ~mask & ~seen
            seen |= todo
        return seen

    def joined(self, base: int, more: int) -> Iterator[tuple[int, int]]:
        """(T, base | T) for each subset T of `more` with which base is a clique."""
        if not self.clique(base):
            return
        todo = [(0, 0)]
        choices = members(more)
        while todo:
            chosen, first = todo.pop()
            yield chosen, base | chosen
            for at in range(first, len(choices)):
                one = choices[at]
                if (base | chosen) & ~self.adjacent[one] == 0:
                    todo.append((chosen | 1 << one, at + 1))


def completed(graph: Graph) -> Graph:
    """The CPDAG of a PDAG that has an extension."""
    return np.asarray(ges().utils.pdag_to_cpdag(np.asarray(graph, int)), np.int8)


def extension(graph: Graph) -> Graph:
    """One DAG of the class, by the lowest index first."""
    return np.asarray(ges().utils.pdag_to_dag(np.asarray(graph, int)), np.int8)


def one_dag(graph: Graph) -> Graph:
    """One DAG of what was found: `extension`, or where sure directions are no class edge by edge without a circle."""
    try:
        return extension(graph)
    except ValueError:
        both = (graph != 0) & (graph.T != 0)
        found = np.array(np.where(both, 0, graph), np.int8)
        for i, j in np.argwhere(np.triu(both)):
            found[i, j] = 1
            if not acyclic(found):
                found[i, j], found[j, i] = 0, 1
        return found


def acyclic(graph: Graph) -> bool:
    """Whether a directed graph has no cycle."""
    left = list(range(len(graph)))
    while left:
        sources = [i for i in left if not any(graph[j, i] for j in left)]
        if not sources:
            return False
        left = [i for i in left if i not in sources]
    return True


def oriented(graph: Graph) -> Graph:
    """The graph after Meek's four rules, until none applies."""
    found = np.array(graph, np.int8)
    while any(_rule(found, i, j) for i in range(len(found)) for j in range(len(found)) if found[i, j] and found[j, i]):
        pass
    return found


def _rule(a: Graph, i: int, j: int) -> bool:
    """Orient i - j as i -> j where a rule says so."""
    to_i, to_j = (a[:, x].astype(bool) & ~a[x].astype(bool) for x in (i, j))
    from_i = a[i].astype(bool) & ~a[:, i].astype(bool)
    near_i = a[i].astype(bool) & a[:, i].astype(bool)
    apart = (a == 0) & (a.T == 0)
    middle = np.flatnonzero(near_i & to_j)
    found = bool((to_i & apart[j]).any()) or bool((from_i & to_j).any())
    found = found or any(apart[k, other] for k in middle for other in middle if k < other)
    found = found or any(
        a[k, other] and not a[other, k] and apart[k, j]
        for k in np.flatnonzero(near_i)
        for other in np.flatnonzero(to_j & ~apart[i])
        if k != other
    )
    if found:
        a[j, i] = 0
    return found


def forbidden_of(tiers: Sequence[Sequence[int]], edges: Sequence[Sequence[int]], p: int) -> NDArray[np.bool_]:
    """(p, p) which i -> j may not be: from a later tier into an earlier one, and those named."""
    found = np.zeros((p, p), bool)
    for at, tier in enumerate(tiers):
        for later in tiers[at + 1 :]:
            found[np.ix_(list(later), list(tier))] = True
    for i, j in edges:
        found[i, j] = True
    return found


def without(graph: Graph, forbidden: NDArray[np.bool_]) -> tuple[Graph, list[tuple[int, int]]]:
    """The graph with each i - j oriented of which one direction is forbidden; and the edges against the rule."""
    found = np.array(graph, np.int8)
    both = (found != 0) & (found.T != 0)
    found[both & forbidden & ~forbidden.T] = 0
    against = np.argwhere((found != 0) & (found.T == 0) & forbidden)
    return oriented(found), [(int(i), int(j)) for i, j in against]


def edges_of(graph: Graph) -> list[tuple[int, int, str]]:
    """(i, j, "->" or "-") sorted; of an undirected edge i < j."""
    return sorted(
        (int(i), int(j), "-" if graph[j, i] else "->") for i, j in np.argwhere(graph) if not (graph[j, i] and j < i)
    )


def edges_sha256(graph: Graph) -> str:
    """64 hex digits over the canonical list of edges."""
    return hashlib.sha256(json.dumps(edges_of(graph)).encode()).hexdigest()

"""ORION: a DAG and, for each edge, the sites that accept it, by description length; exact from numbers that sites send.

Mian, Kamp, Vreeken: Information-Theoretic Causal Discovery and Intervention Detection over Multiple Environments,
AAAI 2023. A site's own mechanism of a variable has as parents those edges that the site accepts; a site that lacks a
parent has an intervention there. The sums in which the released code does not add up are computed exactly here.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from brainct.graphs.cpdag import Graph, acyclic
from brainct.graphs.mdl import integer, subsets
from brainct.graphs.moments import Family
from brainct.graphs.search import DIGITS

Bits = Mapping[str, Mapping[Family, float]]
"""Site -> ordered family -> L_model + L_data."""
Wanted = dict[str, set[Family]]
FORWARD, FLIPS, BACKWARD, DONE = "forward", "flips", "backward", "done"
MOST = 1000
"""Changes after which a search stops."""


@dataclass(frozen=True)
class State:
    """parents: of each variable {parent: sites that accept it}, in the order in which they joined."""

    parents: tuple[Mapping[int, frozenset[str]], ...]
    sites: tuple[str, ...]
    phase: str = FORWARD
    changed: bool = False
    steps: int = 0
    bits: float = 0.0
    gains: Mapping[str, float] = field(default_factory=dict)

    @property
    def p(self) -> int:
        """V."""
        return len(self.parents)

    @property
    def graph(self) -> Graph:
        """(p, p) the DAG."""
        found = np.zeros((self.p, self.p), np.int8)
        for j, parents in enumerate(self.parents):
            found[list(parents), j] = 1
        return found

    def family(self, site: str, j: int) -> Family:
        """j with the parents that this site accepts."""
        return (j, *(i for i, whose in self.parents[j].items() if site in whose))


def start(p: int, sites: Sequence[str]) -> State:
    """The empty graph."""
    return State(tuple({} for _ in range(p)), tuple(sorted(sites)))


def structure(parents: Sequence[Mapping[int, frozenset[str]]], sites: Sequence[str]) -> float:
    """S2 + S3: the bits of the graph, and of which parents each site lacks."""
    p = len(parents)
    total = [integer(len(one)) + subsets(p, len(one)) for one in parents]
    for site in sites:
        lacking = [(len(one), sum(site not in whose for whose in one.values())) for one in parents]
        changed = [(k, missing) for k, missing in lacking if missing]
        total.append(subsets(p, len(changed)))
        total += [1.0 if k == missing else 1 + math.log2(missing) + subsets(k, missing) for k, missing in changed]
    return math.fsum(total)


def total(state: State, bits: Bits) -> float:
    """S1 + ... + S5, from nothing but the graph, the votes and the sites' numbers."""
    count = len(state.sites)
    first = integer(count) + integer(state.p) + count * math.log2(state.p)
    own = math.fsum(bits[site][state.family(site, j)] for site in state.sites for j in range(state.p))
    return first + structure(state.parents, state.sites) + own


def _changed(state: State, j: int, parents: Mapping[int, frozenset[str]]) -> tuple[Mapping[int, frozenset[str]], ...]:
    return tuple(parents if at == j else one for at, one in enumerate(state.parents))


class _Asking:
    """The sites' numbers, with a list of those that are lacking."""

    def __init__(self, state: State, bits: Bits):
        self.state, self.bits = state, bits
        self.wanted: Wanted = {}
        self._structure = structure(state.parents, state.sites)

    def of(self, site: str, family: Family) -> float:
        """0 and a note where the number is lacking."""
        found = self.bits.get(site, {}).get(family)
        if found is None:
            self.wanted.setdefault(site, set()).add(family)
            return 0.0
        return found

    def added(self, i: int, j: int) -> tuple[float, dict[int, frozenset[str]]]:
        """Bits that i -> j adds, and j's parents with it; the sites for which it saves bits accept it."""
        own, kept = {}, self.state.parents[j]
        for site in self.state.sites:
            family = self.state.family(site, j)
            own[site] = self.of(site, (*family, i)) - self.of(site, family)
        votes = frozenset(site for site, bits in own.items() if bits < 0)
        if not votes:
            return 0.0, dict(kept)
        parents = {**kept, i: votes}
        structural = structure(_changed(self.state, j, parents), self.state.sites) - self._structure
        return min(0.0, structural + math.fsum(own[site] for site in sorted(votes))), parents

    def removed(self, i: int, j: int) -> tuple[float, dict[int, frozenset[str]]]:
        """Bits that the graph without i -> j adds, and j's parents then."""
        parents = {k: whose for k, whose in self.state.parents[j].items() if k != i}
        own = [self._without(site, i, j) for site in sorted(self.state.parents[j][i])]
        structural = structure(_changed(self.state, j, parents), self.state.sites) - self._structure
        return structural + math.fsum(own), parents

    def _without(self, site: str, i: int, j: int) -> float:
        family = self.state.family(site, j)
        return self.of(site, (j, *(k for k in family[1:] if k != i))) - self.of(site, family)

    def flipped(self, i: int, j: int) -> tuple[float, tuple[Mapping[int, frozenset[str]], ...]]:
        """Bits that j -> i in place of i -> j adds, and all parents then."""
        first, parents = self.removed(i, j)
        apart = replace(self.state, parents=_changed(self.state, j, parents))
        asking = _Asking(apart, self.bits)
        second, joined = asking.added(j, i)
        for site, more in asking.wanted.items():
            self.wanted.setdefault(site, set()).update(more)
        return (first + second if j in joined else 0.0), _changed(apart, i, joined)


def advance(state: State, bits: Bits, threshold: float = 10.0, max_parents: int = 5) -> tuple[State, Wanted]:
    """As many changes as the sites' numbers allow; what each site is asked next, nothing at the end."""
    while state.phase != DONE:
        asking = _Asking(state, bits)
        after = _MOVES[state.phase](asking, threshold, max_parents)
        if asking.wanted:
            return state, asking.wanted
        state = after if after.steps < MOST else replace(after, phase=DONE)
    return replace(state, bits=total(state, bits)), {}


def _forward(asking: _Asking, threshold: float, most: int) -> State:
    """Add the edge that says most about its own direction."""
    state, graph = asking.state, asking.state.graph
    found = {}
    for j in range(state.p):
        for i in range(state.p):
            if i != j and not graph[i, j] and not graph[j, i]:
                found[i, j] = asking.added(i, j) if len(state.parents[j]) < most else (0.0, {})
    if asking.wanted:
        return state
    ranked = sorted((round(bits - found[j, i][0], DIGITS), i, j) for (i, j), (bits, _) in found.items())
    for psi, i, j in ranked:
        if psi > -threshold:
            break
        graph[i, j] = 1
        if acyclic(graph):
            return _moved(state, _changed(state, j, found[i, j][1]), found[i, j][0])
        graph[i, j] = 0
    return replace(state, phase=FLIPS)


def _flips(asking: _Asking, threshold: float, most: int) -> State:
    """Turn the edge whose other direction saves most bits in all."""
    state, found = asking.state, []
    for i, j in np.argwhere(state.graph).tolist():
        turned = state.graph
        turned[i, j], turned[j, i] = 0, 1
        if acyclic(turned) and len(state.parents[i]) < most:
            bits, parents = asking.flipped(i, j)
            found.append((round(bits, DIGITS), i, j, parents))
    best = min(found, key=lambda one: one[:3], default=(0.0, 0, 0, ()))
    if best[0] > -threshold or asking.wanted:
        return replace(state, phase=BACKWARD)
    return _moved(state, best[3], best[0])


def _backward(asking: _Asking, threshold: float, most: int) -> State:
    """Remove the edge whose absence saves most bits; after a change all begins again."""
    state = asking.state
    edges = [(i, j) for i, j in np.argwhere(state.graph).tolist()]
    found = {(i, j): asking.removed(i, j) for i, j in edges}
    bits, i, j = min(((round(one[0], DIGITS), i, j) for (i, j), one in found.items()), default=(0.0, 0, 0))
    if bits > -threshold:
        gains = {f"{i},{j}": one[0] for (i, j), one in found.items()}
        return replace(state, phase=FORWARD if state.changed else DONE, changed=False, gains=gains)
    return replace(_moved(state, _changed(state, j, found[i, j][1]), found[i, j][0]), changed=True)


def _moved(state: State, parents: tuple[Mapping[int, frozenset[str]], ...], bits: float) -> State:
    return replace(state, parents=parents, bits=state.bits + bits, steps=state.steps + 1)


_MOVES: Mapping[str, Callable[[_Asking, float, int], State]] = {
    FORWARD: _forward,
    FLIPS: _flips,
    BACKWARD: _backward,
}


def search(p: int, sites: Mapping[str, Callable[[Family], float]], threshold: float = 10.0) -> State:
    """The whole search in one process; sites: gives the bits of an ordered family."""
    state, bits = start(p, list(sites)), {site: dict[Family, float]() for site in sites}
    while True:
        state, wanted = advance(state, bits, threshold)
        if not wanted:
            return state
        for site, families in wanted.items():
            bits[site] |= {one: sites[site](one) for one in families}

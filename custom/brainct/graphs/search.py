"""Greedy equivalence search with answers that arrive in batches: a step names all families that it needs at once.

Chickering: Optimal Structure Identification With Greedy Search, JMLR 2002. The operators of a step do not depend on
scores, so that the batched search takes the steps of the ordinary one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from brainct.graphs.cpdag import Graph, Sets, completed, members
from brainct.graphs.library import ges
from brainct.graphs.moments import Family

FORWARD, BACKWARD, DONE = "forward", "backward", "done"
DIGITS = 9


class Score(Protocol):
    """Of a family; a step's gain is the difference of two, as of numbers."""

    def __sub__(self, other: Any, /) -> float: ...


Scores = Mapping[Family, Score]
Step = tuple[str, int, int, tuple[int, ...], float]
Operator = tuple[int, int, int, Family, Family]
"""x, y, the set T or H as bits, the family afterwards, the family before."""


@dataclass(frozen=True)
class Rules:
    """max_parents: of a family that is asked for. forbidden: (p, p) or None; i -> j that may not be."""

    max_parents: int = 5
    forbidden: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class State:
    """Where a search stands. steps: (operator, x, y, T, gain) so far."""

    graph: Graph
    phase: str = FORWARD
    steps: tuple[Step, ...] = ()


def start(p: int) -> State:
    """The empty graph."""
    return State(np.zeros((p, p), np.int8))


def _inserts(sets: Sets, rules: Rules) -> Iterator[Operator]:
    for y in range(sets.p):
        for x in range(sets.p):
            if x == y or sets.adjacent[y] >> x & 1 or (rules.forbidden is not None and rules.forbidden[x, y]):
                continue
            near, far = sets.neighbours[y] & sets.adjacent[x], sets.neighbours[y] & ~sets.adjacent[x]
            for chosen, clique in sets.joined(near, far):
                before = clique | sets.parents[y]
                if before.bit_count() + 1 > rules.max_parents or not sets.blocked(y, x, clique):
                    continue
                yield x, y, chosen, (y, *members(before | 1 << x)), (y, *members(before))


def _deletes(sets: Sets, rules: Rules) -> Iterator[Operator]:
    for y in range(sets.p):
        for x in members(sets.parents[y] | sets.neighbours[y]):
            near = sets.neighbours[y] & sets.adjacent[x]
            for kept, clique in sets.joined(0, near):
                before = clique | sets.parents[y]
                yield x, y, near & ~kept, (y, *members(before & ~(1 << x))), (y, *members(before | 1 << x))


OPERATORS: Mapping[str, Callable[[Sets, Rules], Iterator[Operator]]] = {FORWARD: _inserts, BACKWARD: _deletes}


class _Listed:
    """The operators of the last graph that was looked at: a step asks for them before its answers and after."""

    def __init__(self) -> None:
        self._last: tuple[object, list[Operator]] = (None, [])

    def __call__(self, state: State, rules: Rules) -> list[Operator]:
        banned = b"" if rules.forbidden is None else rules.forbidden.tobytes()
        key = (state.graph.tobytes(), state.phase, rules.max_parents, banned)
        if self._last[0] != key:
            self._last = (key, list(OPERATORS[state.phase](Sets(state.graph), rules)))
        return self._last[1]


_listed = _Listed()


def advance(state: State, scores: Scores, rules: Rules) -> tuple[State, list[Family]]:
    """As many steps as the scores allow; the families that the next one needs in addition, none at the end."""
    while state.phase != DONE:
        found = _listed(state, rules)
        if missing := sorted({one for each in found for one in each[3:] if one not in scores}):
            return state, missing
        state = _step(state, found, scores)
    return state, []


def _step(state: State, found: Sequence[Operator], scores: Scores) -> State:
    """The best operator whose gain is above 0, or the next phase; ties go to the least (x, y, T)."""
    gains = [(-round(scores[new] - scores[old], DIGITS), x, y, members(t)) for x, y, t, new, old in found]
    loss, x, y, chosen = min(gains, default=(0.0, 0, 0, ()))
    if loss >= 0:
        return replace(state, phase=BACKWARD if state.phase == FORWARD else DONE)
    operator = ges().insert if state.phase == FORWARD else ges().delete
    graph = operator(x, y, set(chosen), np.asarray(state.graph, int))
    taken: Step = ("insert" if state.phase == FORWARD else "delete", x, y, chosen, -loss)
    return State(completed(graph), state.phase, (*state.steps, taken))


def search(p: int, ask: Callable[[list[Family]], Scores], rules: Rules | None = None) -> State:
    """The whole search; ask: gives the scores of a batch of families."""
    rules, scores, state = rules or Rules(), dict[Family, Score](), start(p)
    while True:
        state, missing = advance(state, scores, rules)
        if not missing:
            return state
        scores |= ask(missing)

"""Where the boxes and edges of a directed graph go: in layers, causes above their effects, no edge through a box.

Sugiyama, Tagawa, Toda: Methods for Visual Understanding of Hierarchical System Structures, IEEE SMC 1981: longest
paths for the layers, places between layers for edges that span several, barycentres for the order within a layer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Edge = tuple[int, int]
Point = tuple[float, float]

ROOM, LANE, GAP, STEP, HALF = 4.1, 0.10, 0.12, 0.62, 0.11
"""Inches: width of a layer, of an edge that passes it, between neighbours; from layer to layer; half a box's height."""
SWEEPS = 12


@dataclass(frozen=True)
class Layout:
    """centres: of each box, y downwards from 0. widths: of the boxes. paths: of each edge a point in each layer."""

    centres: Sequence[Point]
    widths: Sequence[float]
    paths: Mapping[Edge, Sequence[Point]]
    layers: int


def width_of(label: str) -> float:
    """Inches of a box with this label of 7-point letters."""
    return 0.16 + 0.066 * len(label)


def arranged(labels: Sequence[str], edges: Sequence[Edge]) -> Layout:
    """edges: without a circle, (cause, effect) by the number of a label."""
    widths = [width_of(label) for label in labels]
    level = _levels(len(labels), edges, widths)
    chains = {edge: _chain(edge, level, at) for at, edge in enumerate(edges)}
    slots: dict[Slot, float] = {(node,): widths[node] for node in range(len(labels))}
    slots |= {slot: LANE for chain in chains.values() for slot, _ in chain[1:-1]}
    places = {slot: row for chain in chains.values() for slot, row in chain}
    places |= {(node,): level[node] for node in range(len(labels))}
    layers = max(level, default=0) + 1
    rows = [sorted(slot for slot, row in places.items() if row == at) for at in range(layers)]
    links = [(a[0], b[0]) for chain in chains.values() for a, b in zip(chain, chain[1:], strict=False)]
    x = _centred(_across(_ordered(rows, links), slots, links), slots)
    centres = [(x[(node,)], STEP * level[node]) for node in range(len(labels))]
    paths = {edge: [(x[slot], STEP * row) for slot, row in chain] for edge, chain in chains.items()}
    return Layout(centres, widths, paths, layers)


Slot = tuple[int, ...]
"""(node,) of a box; (edge, layer) of an edge that passes a layer."""


def _levels(count: int, edges: Sequence[Edge], widths: Sequence[float]) -> list[int]:
    """The layer of each box: below all its causes, and no layer wider than the page."""
    causes = {node: [i for i, j in edges if j == node] for node in range(count)}
    level: dict[int, int] = {}
    used: dict[int, float] = {}
    while len(level) < count:
        ready = [node for node in range(count) if node not in level and all(i in level for i in causes[node])]
        node = min(ready, key=lambda one: (max((level[i] + 1 for i in causes[one]), default=0), one))
        at = max((level[i] + 1 for i in causes[node]), default=0)
        while used.get(at, 0.0) + widths[node] + GAP > 0.85 * ROOM:
            at += 1
        level[node], used[at] = at, used.get(at, 0.0) + widths[node] + GAP
    return [level[node] for node in range(count)]


def _chain(edge: Edge, level: Sequence[int], at: int) -> list[tuple[Slot, int]]:
    between: list[tuple[Slot, int]] = [((at, row), row) for row in range(level[edge[0]] + 1, level[edge[1]])]
    return [((edge[0],), level[edge[0]]), *between, ((edge[1],), level[edge[1]])]


def _ordered(rows: list[list[Slot]], links: Sequence[tuple[Slot, Slot]]) -> list[list[Slot]]:
    """The order with the fewest crossings of all sweeps, each of which sorts every layer by its neighbours' places."""
    near: dict[Slot, list[Slot]] = {}
    for a, b in links:
        near.setdefault(a, []).append(b)
        near.setdefault(b, []).append(a)
    best, fewest = [list(row) for row in rows], _crossings(rows, links)
    for sweep in range(SWEEPS):
        for at in range(len(rows)) if sweep % 2 == 0 else range(len(rows) - 1, -1, -1):
            other = at - 1 if sweep % 2 == 0 else at + 1
            if 0 <= other < len(rows):
                place = {slot: k / max(1, len(rows[other]) - 1) for k, slot in enumerate(rows[other])}
                rows[at] = _sorted(rows[at], near, place)
        if (count := _crossings(rows, links)) < fewest:
            best, fewest = [list(row) for row in rows], count
    return best


def _sorted(row: list[Slot], near: Mapping[Slot, list[Slot]], place: Mapping[Slot, float]) -> list[Slot]:
    keys = {}
    for at, slot in enumerate(row):
        known = [place[one] for one in near.get(slot, []) if one in place]
        keys[slot] = sum(known) / len(known) if known else at / max(1, len(row) - 1)
    return sorted(row, key=lambda slot: (keys[slot], slot))


def _crossings(rows: Sequence[Sequence[Slot]], links: Sequence[tuple[Slot, Slot]]) -> int:
    place = {slot: (at, k) for at, row in enumerate(rows) for k, slot in enumerate(row)}
    ends = [(place[a], place[b]) for a, b in links]
    return sum(
        one[0][0] == other[0][0] and (one[0][1] - other[0][1]) * (one[1][1] - other[1][1]) < 0
        for at, one in enumerate(ends)
        for other in ends[at + 1 :]
    )


def _across(
    rows: Sequence[Sequence[Slot]], slots: Mapping[Slot, float], links: Sequence[tuple[Slot, Slot]]
) -> dict[Slot, float]:
    """x of each slot, around 0: as near its neighbours' as the order and the gaps allow."""
    x = {slot: 0.0 for slot in slots}
    for row in rows:
        x |= _packed(row, slots, {slot: 0.0 for slot in row})
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wish = {}
            for slot in row:
                known = [x[b] if a == slot else x[a] for a, b in links if slot in (a, b)]
                wish[slot] = sum(known) / len(known) if known else x[slot]
            x |= _packed(row, slots, wish)
    return x


def _centred(x: Mapping[Slot, float], slots: Mapping[Slot, float]) -> dict[Slot, float]:
    ends = [x[slot] + side * slots[slot] / 2 for slot in slots for side in (-1, 1)] or [0.0]
    return {slot: at - (min(ends) + max(ends)) / 2 for slot, at in x.items()}


def _packed(row: Sequence[Slot], slots: Mapping[Slot, float], wish: Mapping[Slot, float]) -> dict[Slot, float]:
    """Places in order, apart by the gaps, inside the page: pushed from the left, then from the right."""
    total = sum(slots[slot] for slot in row)
    gap = min(GAP, max(0.02, (ROOM - total) / max(1, len(row) - 1)))
    left, found = -ROOM / 2, {}
    for slot in row:
        found[slot] = max(left + slots[slot] / 2, wish[slot])
        left = found[slot] + slots[slot] / 2 + gap
    right = ROOM / 2
    for slot in reversed(row):
        found[slot] = min(right - slots[slot] / 2, found[slot])
        right = found[slot] - slots[slot] / 2 - gap
    return found

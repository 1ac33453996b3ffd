"""What PERI delivers: the graph, and of each edge how much the sites gain by it."""

from typing import Any

import torch

from brainct.core.scheme import Memory
from brainct.core.weights import Weights
from brainct.graphs.aggregate import Aggregate, aggregate
from brainct.graphs.cpdag import completed, edges_of, extension, without
from brainct.graphs.environments import families_of
from brainct.schemes._families import said_of, scores_of
from brainct.schemes._peri_server import DONE, graph_of, less


def delivered(memory: Memory) -> Weights:
    """(p, p) the graph, with what tiers and forbidden edges orient."""
    return {"graph": torch.from_numpy(without(graph_of(memory), memory["forbidden"].numpy())[0].copy())}


def said(memory: Memory, kind: Aggregate) -> dict[str, Any]:
    """Of each edge the gain, that of the site that loses most, and how many sites gain; warnings; the hash."""
    graph, against = without(graph_of(memory), memory["forbidden"].numpy())
    ended = memory["phase"] == DONE
    edges = _edges(memory, kind) if ended else [list(one[:2]) for one in edges_of(graph)]
    found = said_of({**memory, "complete": ended and memory["complete"]}, graph, edges)
    words = [f"an edge from column {i + 1} to {j + 1} is against the tiers" for i, j in against]
    counts = {"families": max((len(one["values"]) for one in memory["answers"].values()), default=0)}
    return found | {"warnings": [*found["warnings"], *words], **counts, "rows": dict(memory["rows"])}


def _edges(memory: Memory, kind: Aggregate) -> list[list[Any]]:
    scores, edges = scores_of(memory), []
    for family in families_of(extension(completed(graph_of(memory)))):
        for k in family[1:]:
            without_it = (family[0], *less(family, k))
            own = [each[family] - each[without_it] for _, each in sorted(scores.items())]
            told = [round(aggregate(kind, own), 6), round(min(own), 6), sum(one > 0 for one in own)]
            edges.append([k, family[0], *told])
    return edges

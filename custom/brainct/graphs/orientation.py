"""Which directions of a class the sites' differences tell, and how clearly."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from brainct.graphs.cpdag import Graph, completed
from brainct.graphs.environments import NEAR, Environments, climbed, extensions
from brainct.graphs.moments import Family, Moments, bic, pooled
from brainct.graphs.search import Rules, search


@dataclass(frozen=True)
class Orientation:
    """dag: the best. graph: the same with the edges undirected on which a DAG within 2 nats disagrees. value: its J.

    second: J of the best DAG with another direction of some edge, None where there is none. all: whether every DAG of
    the class was compared.
    """

    dag: Graph
    graph: Graph
    value: float
    second: float | None
    all: bool


def orient(graph: Graph, total: Callable[[Graph], float], forbidden: Graph | None = None) -> Orientation:
    """The best DAG of a class by a score."""
    dags, complete = extensions(graph, forbidden=forbidden)
    ranked = sorted(((-round(total(dag), 9), at) for at, dag in enumerate(dags)))
    value, best = -ranked[0][0], dags[ranked[0][1]]
    near = [dags[at] for loss, at in ranked if -loss >= value - NEAR]
    found = np.array(np.any([dag != 0 for dag in near], 0), np.int8)
    return Orientation(best, found, value, -ranked[1][0] if len(ranked) > 1 else None, complete)


def starts(sites: Sequence[Moments], rules: Rules) -> dict[str, Graph]:
    """The classes of the sum over the sites' scores, and of the score of all rows together."""
    joint, p = pooled(sites), sites[0].variables

    def summed(families: Sequence[Family]) -> dict[Family, float]:
        active = {one: [site for site in sites if not site.constant[one[0]]] for one in families}
        return {one: float(sum(bic(site, one) for site in active[one])) for one in families}

    both = {
        "sum": summed,
        "pooled": lambda families: {one: 0.0 if joint.constant[one[0]] else bic(joint, one) for one in families},
    }
    return {name: search(p, ask, rules).graph for name, ask in both.items()}


def joint(sites: Sequence[Moments], rules: Rules, offsets: bool = False) -> tuple[Orientation, dict[str, float]]:
    """Search B: the better end of two greedy searches on J, oriented within its class; J of both ends."""
    score, ends = Environments(sites, offsets), {}
    banned = None if rules.forbidden is None else np.array(rules.forbidden, np.int8)
    for name, graph in starts(sites, rules).items():
        begin = orient(graph, score.total, banned).dag
        if banned is not None:
            begin = np.array(begin * (1 - banned), np.int8)
        ends[name] = climbed(score, begin, rules.max_parents, banned)
    values = {name: round(score.total(dag), 9) for name, dag in ends.items()}
    best = max(sorted(values), key=lambda name: values[name])
    return orient(completed(ends[best]), score.total, banned), values

"""One cell of bench/causal.py at one seed: tables of a known graph, every method on them, how far each is from it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from brainct.causal.config import CausalChoices
from brainct.causal.dataset import data_of
from brainct.causal.generator import Drawn, draw, random_graph
from brainct.causal.site_config import CausalFile
from brainct.causal.workload import CAUSAL
from brainct.core import serialization
from brainct.core.scheme import Report, Task
from brainct.graphs import orion
from brainct.graphs.cpdag import Graph, completed, extension, one_dag
from brainct.graphs.environments import Environments
from brainct.graphs.mdl import DescriptionLength
from brainct.graphs.moments import Moments, bic, moments_of, pooled
from brainct.graphs.search import search
from brainct.job.config import plan_of
from brainct.security.credentials import offline

ROUNDS = 200


@dataclass(frozen=True)
class Cell:
    """rows: of each site. variables: least and most, in turn by seed. changes: at a site; None for 1 or 2.

    usual: sites at the front at which nothing is changed. hard: changed columns lose all their causes.
    """

    rows: tuple[int, ...]
    variables: tuple[int, int] = (5, 8)
    changes: int | None = 0
    linear: bool = True
    usual: int = 1
    hard: bool = False
    seeds: int = 20

    def drawn(self, seed: int) -> Drawn:
        """The tables, with expected degree 2."""
        low, high = self.variables
        graph = random_graph(low + seed % (high - low + 1), 2.0, seed)
        return draw(graph, self.rows, seed, self.changes, self.linear, self.hard, self.usual)


@dataclass(frozen=True)
class Found:
    """graph: (p, p). changed: (column, site number) pairs, None where a method says nothing of it. rounds: in which
    the server asked. up, down: bytes of one site, mean."""

    graph: Graph
    changed: frozenset[tuple[int, int]] | None = None
    rounds: int = 0
    up: float = 0.0
    down: float = 0.0
    bits: float = 0.0
    families: int = 0
    site_seconds: float = 0.0


def played(
    scheme: str,
    arguments: Mapping[str, Any],
    tables: Sequence[np.ndarray],
    lie: Callable[[str, Task, Report], Report] = lambda site, task, report: report,
) -> Found:
    """All rounds of a scheme, site by site in this process: what a rehearsal sends, and no file.

    lie: what a site sends in place of its report.
    """
    p, sites = tables[0].shape[1], [f"site-{at:02}" for at in range(len(tables))]
    names = [f"x{at}" for at in range(p)]
    chosen = {"workload": "causal", "scheme": scheme, "arguments": dict(arguments), "rounds": ROUNDS}
    plan = plan_of({**chosen, "columns": names, "min_rows": 1}, "bench/causal.py")
    choices, file = CausalChoices(columns=names, min_rows=1), CausalFile(kind="generated", force=True)
    data = {site: data_of(list(rows.T), file, choices) for site, rows in zip(sites, tables, strict=True)}
    built = plan.build()
    memory, keeps = built.start(plan.kind.initial(plan, 1, ROUNDS), sites, 1), {site: {} for site in sites}
    rounds = up = down = families = 0
    seconds = 0.0
    for number in range(ROUNDS):
        tasks, reports = built.assign(memory, number, sites), {}
        if not tasks:
            break
        for site, task in sorted(tasks.items()):
            learner = CAUSAL.learner(plan, data[site], offline(plan, site, number), None)
            began = time.process_time()
            report, keeps[site] = built.reply(task, learner, keeps[site])
            reports[site] = lie(site, task, report)
            seconds += time.process_time() - began
            up += len(serialization.pack(dict(reports[site].weights)))
            down += len(serialization.pack(dict(task.extra)))
        families += len(next(iter(tasks.values())).extra.get("families", ()))
        memory, rounds = built.combine(memory, number, reports), rounds + 1
    weights = built.model(memory)
    pairs = frozenset(map(tuple, weights["changed"].nonzero().tolist())) if "changed" in weights else None
    bits = float(built.extra(memory).get("bits", 0.0))
    return Found(weights["graph"].numpy(), pairs, rounds, up / len(sites), down / len(sites), bits, families, seconds)


def pooled_search(sites: Sequence[Moments]) -> Found:
    """What one owner of all rows would find, and by the rule of peri_environments who changed."""
    union = pooled(sites)
    graph = search(union.variables, lambda families: {one: bic(union, one) for one in families}).graph
    return Found(graph, deviating(sites, graph))


def deviating(sites: Sequence[Moments], graph: Graph) -> frozenset[tuple[int, int]]:
    """Who changed, by the grouping of peri_environments on one DAG of another method's graph."""
    each = Environments(sites).deviating(extension(graph))
    return frozenset((i, k) for i, whose in enumerate(each) for k in whose)


def alone(site: Moments) -> Found:
    return Found(search(site.variables, lambda families: {one: bic(site, one) for one in families}).graph)


def central_orion(tables: Sequence[np.ndarray]) -> Found:
    """The search with all tables in one process, without the scheme."""
    lengths = {f"site-{at:02}": DescriptionLength(rows).bits for at, rows in enumerate(tables)}
    state = orion.search(tables[0].shape[1], lengths)
    lacking = {
        (j, at)
        for j, parents in enumerate(state.parents)
        for at, site in enumerate(state.sites)
        if any(site not in whose for whose in parents.values())
    }
    return Found(state.graph, frozenset(lacking), bits=state.bits)


PERI = {
    "PERI sum": {},
    "PERI min": {"aggregate": "min"},
    "PERI min, base dag": {"aggregate": "min", "baseline": "dag"},
    "PERI median": {"aggregate": "median"},
}


def methods(cell: Cell, drawn: Drawn) -> dict[str, Callable[[], list[Found]]]:
    """Name -> what it finds; of sites alone one graph each."""
    tables, sites = drawn.rows, [moments_of(one) for one in drawn.rows]
    found: dict[str, Callable[[], list[Found]]] = {
        "pooled GES": lambda: [pooled_search(sites)],
        "one site's GES": lambda: [alone(site) for site in sites],
    }
    for name, arguments in PERI.items():
        found[name] = lambda arguments=arguments: [played("peri", arguments, tables)]
    for share in ("regrets", "moments"):
        found[f"environments, {share}"] = lambda share=share: [played("peri_environments", {"share": share}, tables)]
    if not cell.linear:
        found["PERI sum, mdl"] = lambda: [played("peri", {"score": "mdl"}, tables)]
        found["ORION, central"] = lambda: [central_orion(tables)]
        found["ORION, federated"] = lambda: [played("orion", {}, tables)]
    return found


def measured(cell: Cell, seed: int, only: str = "") -> dict[str, dict[str, float]]:
    """Method -> its numbers."""
    drawn = cell.drawn(seed)
    found = {name: run() for name, run in methods(cell, drawn).items() if only in ("", name)}
    if "ORION, federated" in found:
        central, federated = found["ORION, central"][0], found["ORION, federated"][0]
        assert np.array_equal(central.graph, federated.graph)
        assert round(central.bits, 6) == federated.bits, (central.bits, federated.bits)
    return {name: _mean([scored(drawn, one) for one in each]) for name, each in found.items()}


def means_of_twenty(cell: Cell, times: int) -> dict[str, list[float]]:
    """Wrong pairs of pooled GES (class): the mean of each twenty seeds in turn, the cell's own first."""
    each = []
    for seed in range(20 * times):
        drawn = cell.drawn(seed)
        each.append(scored(drawn, pooled_search([moments_of(rows) for rows in drawn.rows]))["cpdag"])
    return {"means": np.reshape(each, (times, 20)).mean(1).round(2).tolist()}


def scored(drawn: Drawn, found: Found) -> dict[str, float]:
    """Distances from the truth; counts rather than shares, so that a table can pool them over the seeds."""
    truth, graph = drawn.graph, np.asarray(found.graph)
    skeleton, own = (np.triu((one != 0) | (one.T != 0), 1) for one in (truth, graph))
    numbers = {
        "cpdag": wrong_pairs(graph, completed(truth)),
        "dag": wrong_pairs(graph, truth),
        "sid": sid(truth, graph),
        "edges": int(truth.sum()),
        "hits": int((skeleton & own).sum()),
        "said": int(own.sum()),
        "rounds": found.rounds,
        "up": found.up,
        "down": found.down,
    }
    if found.changed is not None:
        numbers |= {"pairs": len(drawn.changed), "pairs said": len(found.changed)}
        numbers["pairs hit"] = len(drawn.changed & found.changed)
    return numbers


def wrong_pairs(one: Graph, other: Graph) -> int:
    """Pairs of columns whose marks differ, each counted once."""
    differs = np.asarray(one) != np.asarray(other)
    return int(np.triu(differs | differs.T, 1).sum())


def sid(truth: Graph, graph: Graph) -> int:
    """Of one DAG of the graph: ordered pairs of columns whose effect its parents would get wrong."""
    import gadjid

    one = np.asarray(one_dag(graph), np.int8)
    return int(gadjid.sid(np.asarray(truth, np.int8), one, "from row to column")[1])


def _mean(each: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(float(np.mean([one[key] for one in each])), 4) for key in each[0]}

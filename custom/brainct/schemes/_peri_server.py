"""The server's half of PERI: what it asks next, and how far the search comes with the answers it has."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from brainct.core.scheme import Memory, Report
from brainct.graphs import search
from brainct.graphs.aggregate import Aggregate, aggregated
from brainct.graphs.cpdag import Graph, extension
from brainct.graphs.environments import families_of
from brainct.graphs.moments import Family
from brainct.schemes import _families
from brainct.schemes._families import decoded, encoded, scores_of, there
from brainct.schemes._peri_site import LEARN

EDGES, DONE = "edges", "done"
"""Phases after the search: the scores of the found edges, and nothing more."""


def begun(state: search.State) -> dict[str, Any]:
    """A search's state as plain data."""
    steps = [[kind, x, y, list(t), gain] for kind, x, y, t, gain in state.steps]
    return {"graph": torch.from_numpy(state.graph.copy()), "phase": state.phase, "steps": steps}


def graph_of(memory: Memory) -> Graph:
    """The class so far."""
    return np.asarray(memory["graph"].numpy(), np.int8)


def _rules(memory: Memory) -> search.Rules:
    banned = memory["forbidden"].numpy()
    return search.Rules(memory["max_parents"], banned if banned.any() else None)


def _scores(memory: Memory, kind: Aggregate) -> dict[Family, search.Score]:
    """Each family's aggregate. Under a later baseline each site's score of the base family is taken off."""
    found = scores_of(memory)
    if memory["base"] is not None:
        base = {one[0]: one for one in decoded(memory["base"], memory["p"])}
        found = {
            site: {one: value - each.get(base[one[0]], 0.0) for one, value in each.items()}
            for site, each in found.items()
        }
    return aggregated(kind, found, {site: set(silent) for site, silent in memory["silent"].items()})


def _advanced(memory: Memory, kind: Aggregate, outer: int) -> tuple[dict[str, Any], list[Family]]:
    """Memory as far as the answers reach, and the families that are lacking."""
    scores, found = _scores(memory, kind), dict(memory)
    while found["phase"] not in (LEARN, DONE):
        if found["phase"] == EDGES:
            missing = [one for one in _for_edges(graph_of(found)) if one not in scores]
            if missing:
                return found, sorted(set(missing))
            found["phase"] = DONE
            break
        state = search.State(graph_of(found), found["phase"], tuple(map(_step, found["steps"])))
        state, missing = search.advance(state, scores, _rules(found))
        found |= begun(state)
        if missing:
            return found, missing
        columns = [(one[0], *sorted(one[1:])) for one in families_of(state.graph)]
        if len(found["earlier"]) >= outer or any(np.array_equal(one.numpy(), state.graph) for one in found["earlier"]):
            found["phase"] = EDGES
        elif missing := [one for one in columns if one not in scores]:
            return {**found, "phase": search.BACKWARD}, missing
        else:
            found |= {"earlier": [*found["earlier"], found["graph"]], "base": encoded(columns)}
            found |= begun(search.start(found["p"]))
            scores = _scores(found, kind)
    return found, []


def _step(step: list[Any]) -> search.Step:
    kind, x, y, t, gain = step
    return kind, x, y, tuple(t), gain


def _for_edges(graph: Graph) -> list[Family]:
    """Of each edge of one DAG of the class: the family with it and the one without."""
    families = families_of(extension(graph))
    return [each for one in families for each in (one, *((one[0], *less(one, k)) for k in one[1:]))]


def less(family: Family, parent: int) -> tuple[int, ...]:
    return tuple(one for one in family[1:] if one != parent)


def asked(memory: Memory, kind: Aggregate, min_sites: int) -> dict[str, Any] | None:
    """The extra of the next task; None where the search has ended or stopped."""
    if memory["phase"] == DONE or len(there(memory)) < min_sites:
        return None
    if memory["phase"] == LEARN:
        return {"ask": LEARN, "variables": memory["p"]}
    missing = memory.get("missing")
    families = encoded(_advanced(memory, kind, 0)[1]) if missing is None else missing
    return {"ask": "scores", "families": families}


def combined(
    memory: Memory, reports: Mapping[str, Report], kind: Aggregate, min_sites: int, outer: int
) -> dict[str, Any]:
    """Memory after a round."""
    extra = asked(memory, kind, min_sites)
    if extra is None:
        return dict(memory)
    if memory["phase"] == LEARN:
        silent = {site: torch.nonzero(one.weights["silent"])[:, 0].tolist() for site, one in reports.items()}
        found = {**_families.answered(memory, {}, reports, "silent"), **begun(search.start(memory["p"]))}
        found |= {"silent": silent, "restart": False}
    else:
        families = dict.fromkeys(reports, extra["families"])
        found = _families.answered(memory, families, reports, "scores")
        found["silent"] = {site: one for site, one in memory["silent"].items() if site in reports}
    if found.pop("restart"):
        found |= {**begun(search.start(memory["p"])), "earlier": [], "base": None}
    if len(there(found)) < min_sites:
        return {**found, "complete": False, "missing": encoded([])}
    found, missing = _advanced(found, kind, outer)
    return {**found, "missing": encoded(missing)}


def without_lost(memory: Memory, reports: Mapping[str, Report], kind: Aggregate, min_sites: int) -> dict[str, Any]:
    """Memory after a round of another kind that lost sites: what they said is gone, and the search begins again."""
    lost = [site for site in there(memory) if site not in reports]
    kept = {key: {site: one for site, one in memory[key].items() if site not in lost} for key in ("answers", "rows")}
    found = {**memory, **kept, "left_out": sorted({*memory["left_out"], *lost})}
    found |= {**begun(search.start(memory["p"])), "earlier": [], "base": None}
    found, missing = _advanced(found, kind, 0)
    return {**found, "missing": encoded(missing)}

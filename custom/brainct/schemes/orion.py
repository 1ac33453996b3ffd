"""ORION: one directed graph and, for each edge, the sites that accept it, exact without pooling any row.

Mian, Kamp, Vreeken: Information-Theoretic Causal Discovery and Intervention Detection over Multiple Environments, AAAI
2023. Its score is a sum over the sites and of votes, so that the federated search is the central one, bit by bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field

from brainct.core.arguments import NotNegative
from brainct.core.learner import Learner, Model
from brainct.core.scheme import ClientState, Memory, Report, Scheme, Task, registered
from brainct.core.weights import Weights
from brainct.graphs import orion as engine
from brainct.graphs.mdl import DescriptionLength
from brainct.schemes import _families
from brainct.schemes._families import CAUSAL, decoded, encoded, rows_of, scores_of, there

ABOUT = replace(
    CAUSAL,
    paper="Mian, Kamp, Vreeken, AAAI 2023",
    summary="Sites send bits for each possible cause, and the server finds directions and who lacks a cause.",
    when="columns depend on each other in clearly non-linear ways, and some sites intervene on some of them",
    sends="a list of families to, and 8 bytes for each of them from each site; in round 0 all pairs, then those of the "
    "column that changed",
    blocks={
        **CAUSAL.blocks,
        "secure_aggregation": "the server needs to know which sites accept a cause: that is the result",
    },
)


@registered(ABOUT)
def orion(
    threshold_bits: NotNegative = 10.0,
    max_parents: Annotated[int, Field(ge=1, le=10)] = 5,
    min_sites: Annotated[int, Field(ge=1)] = 2,
) -> Scheme:
    """Search over DAGs by psi(i -> j) = delta(i -> j) - delta(j -> i), delta the bits that an edge saves.

    threshold_bits: least difference at which an edge is added, turned or removed; 10 bits are significance 2^-10.
    max_parents: of a column. min_sites: with fewer left the search stops, and its graph is incomplete.

    A site accepts an edge if that shortens the description of its own rows, and lacks it otherwise: an intervention.
    Which site lacks which edge is told to the server; that is the purpose. On linear data with Gaussian noise both
    directions cost the same, and the graph is empty. Rounds after the search ended ask for nothing.
    """

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        p = len(model.weights["graph"])
        _families.check_variables(p)
        return _advanced({**_families.opened(sites, p), **_plain(engine.start(p, sites))})

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        if len(there(memory)) < min_sites:
            return {}
        missing = memory["missing"]
        return {site: Task({}, {"families": missing[site]}) for site in sorted(missing) if site in sites}

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        asked = set(memory["missing"])
        if not asked or len(there(memory)) < min_sites:
            return memory
        others = {site for site in there(memory) if site not in asked}
        told = {site: one for site, one in reports.items() if site in asked}
        whole = {**told, **{site: Report({"bits": torch.empty(0)}, memory["rows"][site]) for site in others}}
        found = _families.answered(memory, memory["missing"], whole, "bits")
        if found.pop("restart"):
            found |= _plain(engine.start(memory["p"], there(found)))
        if len(there(found)) < min_sites:
            return {**found, "complete": False, "missing": {}}
        return _advanced(found)

    def _advanced(memory: Mapping[str, Any]) -> dict[str, Any]:
        state, wanted = engine.advance(_state(memory), scores_of(memory), threshold_bits, max_parents)
        return {**memory, **_plain(state), "missing": {site: encoded(sorted(one)) for site, one in wanted.items()}}

    five = (start, assign, _reply, combine, _delivered)
    return Scheme(
        *five, expects=lambda task, report: _families.expected(task, "bits"), extra=_said, needs=frozenset({"columns"})
    )


def _reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
    rows = rows_of(learner)
    lengths = DescriptionLength(rows)
    found = [lengths.bits(one) for one in decoded(task.extra["families"], rows.shape[1])]
    return Report({"bits": torch.tensor(found, dtype=torch.float64)}, len(rows)), client_state


def _plain(state: engine.State) -> dict[str, Any]:
    """A search's state as plain data; lists keep the order in which parents joined."""
    parents = [[[i, sorted(whose)] for i, whose in one.items()] for one in state.parents]
    known = {"changed": state.changed, "count": state.steps, "bits": state.bits, "gains": dict(state.gains)}
    return {"parents": parents, "phase": state.phase, **known}


def _state(memory: Mapping[str, Any]) -> engine.State:
    parents = tuple({i: frozenset(whose) for i, whose in one} for one in memory["parents"])
    known = (memory["phase"], memory["changed"], memory["count"], memory["bits"], memory["gains"])
    return engine.State(parents, tuple(there(memory)), *known)


def _delivered(memory: Memory) -> Weights:
    """(p, p) the graph; (p, m) 1 where a site lacks a cause of the column."""
    state, sites = _state(memory), memory["sites"]
    lacking = np.zeros((memory["p"], len(sites)), np.uint8)
    for j, parents in enumerate(state.parents):
        for at, site in enumerate(sites):
            lacking[j, at] = site in state.sites and any(site not in whose for whose in parents.values())
    return {"graph": torch.from_numpy(state.graph), "changed": torch.from_numpy(lacking)}


def _said(memory: Memory) -> Mapping[str, Any]:
    """Of each edge the bits that it saves and how many sites accept it; the bits in all; warnings; the hash."""
    state = _state(memory)
    edges = [
        [i, j, round(state.gains.get(f"{i},{j}", 0.0), 6), None, len(whose)]
        for j, parents in enumerate(state.parents)
        for i, whose in parents.items()
    ]
    ended = state.phase == engine.DONE and memory["complete"]
    known = {"bits": round(state.bits, 6), "sites": memory["sites"], "rows": dict(memory["rows"])}
    return _families.said_of({**memory, "complete": ended}, state.graph, edges, **known)

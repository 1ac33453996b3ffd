"""The exchange of moments: one reply of each site, and the whole search at the server."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.special import ndtri

from brainct.core.learner import Learner
from brainct.core.scheme import ClientState, Memory, Report, Task
from brainct.core.weights import Weights
from brainct.errors import Declined
from brainct.graphs import noise
from brainct.graphs.environments import Environments, families_of
from brainct.graphs.moments import Floats, Moments, moments_of
from brainct.graphs.orientation import Orientation, joint
from brainct.graphs.search import Rules
from brainct.schemes._families import rounded, rows_of, said_of


def replied(
    task: Task, learner: Learner, client_state: ClientState, epsilon: float | None, scale: Sequence[Sequence[float]]
) -> tuple[Report, ClientState]:
    """n, mean and covariance; with noise the very same moments whenever they are asked for again."""
    rows = rows_of(learner)
    if task.extra["variables"] != rows.shape[1]:
        raise Declined("the server asks for the moments of other columns than the job has")
    if epsilon is None:
        return _report(moments_of(rows)), client_state
    if "sent" not in client_state:
        p = rows.shape[1]
        public = np.array(scale, np.float64)
        uniform = learner.credentials.private_uniform(p * (p + 3) // 2, "noise on moments")
        found = _report(
            noise.noised((rows - public[:, 0]) / public[:, 1], epsilon, ndtri(np.clip(uniform, 1e-12, 1 - 1e-12)))
        )
        client_state = {"sent": {**found.weights}, "rows": found.examples}
    return Report(client_state["sent"], client_state["rows"]), client_state


def _report(found: Moments) -> Report:
    triangle = found.covariance[np.triu_indices(found.variables)]
    weights = {"mean": torch.from_numpy(found.mean.copy()), "covariance": torch.from_numpy(triangle.copy())}
    return Report(weights, int(found.n))


def _moments(one: Mapping[str, Any]) -> Moments:
    mean, upper = one["mean"].numpy(), one["covariance"].numpy()
    p = len(mean)
    matrix: Floats = np.zeros((p, p))
    matrix[np.triu_indices(p)] = upper
    return Moments(float(one["n"]), mean, matrix + np.triu(matrix, 1).T)


def combined(memory: Memory, reports: Mapping[str, Report], most: int, offsets: bool, least: int) -> dict[str, Any]:
    """Memory with the new moments, and what follows from all of them."""
    told = {site: {**dict(report.weights), "n": report.examples} for site, report in reports.items()}
    if not told:
        return dict(memory)
    moments = {**memory["moments"], **told}
    rows = {site: one["n"] for site, one in moments.items()}
    left_out = [site for site in memory["sites"] if site not in moments]
    found = {**memory, "moments": moments, "rows": rows, "left_out": left_out, "complete": len(moments) >= least}
    if len(moments) < least:
        return found
    banned = memory["forbidden"].numpy()
    sites = [_moments(moments[site]) for site in sorted(moments)]
    best, ends = joint(sites, Rules(most, banned if banned.any() else None), offsets)
    return {**found, "found": _plain(best, Environments(sites, offsets), sorted(moments), ends)}


def _plain(best: Orientation, score: Environments, sites: Sequence[str], ends: Mapping[str, float]) -> dict[str, Any]:
    """The graph, the deviating sites of each column, the mechanisms, and how sure the directions are."""
    deviating = [[sites[k] for k in each] for each in score.deviating(best.dag)]
    mechanisms, edges = [], []
    for family in families_of(best.dag):
        named = {
            "shared" if key == "shared" else sites[int(key)]: rounded(value)
            for key, value in score.mechanism(family).items()
        }
        mechanisms.append({"parents": list(family[1:]), "coefficients": named})
        for k in family[1:]:
            less = score.group((family[0], *(one for one in family[1:] if one != k)))
            edges.append([k, family[0], round(score.group(family).value - less.value, 6), None, len(sites)])
    known = {"value": round(best.value, 6), "all": best.all, "starts": {key: round(v, 6) for key, v in ends.items()}}
    known |= {"second": None if best.second is None else round(best.second, 6)}
    graph = torch.from_numpy(best.graph.copy())
    return {"graph": graph, "deviating": deviating, "mechanisms": mechanisms, "edges": edges, **known}


def delivered(memory: Memory) -> Weights:
    """(p, p) the graph; (p, m) 1 where a site has a mechanism of its own."""
    found, p, sites = memory["found"], memory["p"], memory["sites"]
    changed = torch.zeros((p, len(sites)), dtype=torch.uint8)
    for i, whose in enumerate(found.get("deviating", [])):
        for site in whose:
            changed[i, sites.index(site)] = 1
    return {"graph": found.get("graph", torch.zeros((p, p), dtype=torch.int8)), "changed": changed}


def said(memory: Memory) -> dict[str, Any]:
    """Edges with their part of J, mechanisms, J of the best and second-best orientation, of both starts; warnings."""
    found = memory["found"]
    graph = delivered(memory)["graph"].numpy()
    keys = ("mechanisms", "value", "second", "all", "starts")
    known = {key: found[key] for key in keys if key in found}
    complete = bool(found) and memory["complete"]
    more = {"sites": memory["sites"], "rows": dict(memory["rows"])}
    return said_of({**memory, "complete": complete}, graph, found.get("edges", []), **known, **more)

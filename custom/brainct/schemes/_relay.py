"""After PERI's search: whose mechanism differs, by relayed coefficients and single numbers; see graphs/relay.py."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from brainct.core.scheme import Memory, Report, Task
from brainct.core.weights import Weights
from brainct.graphs import relay
from brainct.graphs.cpdag import Graph
from brainct.graphs.environments import extensions, families_of
from brainct.graphs.moments import Family
from brainct.graphs.orientation import Orientation, orient
from brainct.schemes import _peri_said, _peri_server
from brainct.schemes._families import encoded, rounded, said_of, there
from brainct.schemes._relay_site import OWN, UNDER


def _class(memory: Memory) -> Graph:
    return np.asarray(_peri_said.delivered(memory["peri"])["graph"].numpy(), np.int8)


def _banned(memory: Memory) -> Graph | None:
    banned = memory["peri"]["forbidden"].numpy()
    return np.array(banned, np.int8) if banned.any() else None


def _asked(memory: Memory) -> list[Family]:
    dags, _ = extensions(_class(memory), forbidden=_banned(memory))
    return sorted({one for dag in dags for one in families_of(dag)})


def assigned(memory: Memory, sites: Sequence[str], least: int) -> Mapping[str, Task]:
    """The next relay's tasks; none before the search ended, or after the last one."""
    peri, stage = memory["peri"], memory["stage"]
    if peri["phase"] != _peri_server.DONE or stage.get("count", 0) > relay.REPEATS or len(there(peri)) < least:
        return {}
    families = encoded(_asked(memory))
    extra = {"ask": OWN, "families": families}
    if stage:
        extra = {"ask": UNDER, "families": families, "sent": stage["sent"]}
    return {site: Task({}, extra) for site in there(peri) if site in sites}


def _owns(memory: Memory, at: int, family: Family) -> list[relay.Own]:
    stage = memory["stage"]
    return [
        relay.Own(memory["peri"]["rows"][site], stage["own"][site][at][: len(family)].numpy())
        for site in sorted(stage["own"])
    ]


def _penalty(memory: Memory, family: Family) -> float:
    return (
        0.5 * len(family) * math.log(math.fsum(memory["peri"]["rows"][site] for site in sorted(memory["stage"]["own"])))
    )


def combined(memory: Memory, reports: Mapping[str, Report], least: int) -> dict[str, Any]:
    """Memory after a relay. A lost site is out of the search too, which begins again."""
    peri = memory["peri"]
    if not assigned(memory, memory["sites"], least):
        return dict(memory)
    if [site for site in there(peri) if site not in reports]:
        return {**memory, "stage": {}, "peri": _peri_server.without_lost(peri, reports, "sum", least)}
    families, stage = _asked(memory), dict(memory["stage"])
    if not stage:
        stage = {"own": {site: report.weights[OWN].clone() for site, report in reports.items()}, "count": 1}
        apart: list[tuple[int, ...] | None] = [None] * len(families)
    else:
        under = {site: report.weights[UNDER].clone() for site, report in reports.items()}
        stage |= {"under": under, "count": stage["count"] + 1}
        apart = list(_apart({**memory, "stage": stage}, families))
    width, sent = max(map(len, families)), []
    for at, family in enumerate(families):
        row = relay.relayed(_owns({**memory, "stage": stage}, at, family), apart[at])
        sent.append(np.pad(row, (0, width - len(family))))
    return {**memory, "stage": {**stage, "sent": torch.from_numpy(np.stack(sent))}}


def _apart(memory: Memory, families: Sequence[Family]) -> list[tuple[int, ...]]:
    return [
        relay.set_apart(_owns(memory, at, one), _under(memory, at), _penalty(memory, one))
        for at, one in enumerate(families)
    ]


def _under(memory: Memory, at: int) -> list[float]:
    return [float(one[at]) for _, one in sorted(memory["stage"]["under"].items())]


def _found(memory: Memory) -> tuple[Orientation, dict[Family, tuple[int, ...]]] | None:
    """The best orientation and who is apart in each family; None before the relays ended."""
    if memory["stage"].get("count", 0) <= relay.REPEATS:
        return None
    families = _asked(memory)
    apart = dict(zip(families, _apart(memory, families), strict=True))
    values = {
        one: relay.value(_owns(memory, at, one), _under(memory, at), apart[one], _penalty(memory, one))
        for at, one in enumerate(families)
    }
    best = orient(_class(memory), lambda dag: math.fsum(values[one] for one in families_of(dag)), _banned(memory))
    return best, apart


def delivered(memory: Memory) -> Weights:
    """(p, p) the graph; (p, m) 1 where a site has a mechanism of its own."""
    found, sites, graph = _found(memory), memory["sites"], _class(memory)
    changed = torch.zeros((len(graph), len(sites)), dtype=torch.uint8)
    if found is None:
        return {"graph": torch.from_numpy(graph.copy()), "changed": changed}
    left = sorted(memory["stage"]["own"])
    for family in families_of(found[0].dag):
        for k in found[1][family]:
            changed[family[0], sites.index(left[k])] = 1
    return {"graph": torch.from_numpy(found[0].graph.copy()), "changed": changed}


def said(memory: Memory) -> dict[str, Any]:
    """As PERI's, with the shared and own coefficients, and J of the best and second-best orientation."""
    first = _peri_said.said(memory["peri"], "sum")
    found, peri = _found(memory), memory["peri"]
    if found is None:
        return said_of({**peri, "complete": False}, _class(memory), [], sites=memory["sites"], rows=dict(peri["rows"]))
    best, apart = found
    left, families, mechanisms = sorted(memory["stage"]["own"]), _asked(memory), []
    for family in families_of(best.dag):
        at = families.index(family)
        own = {left[k]: rounded(memory["stage"]["own"][left[k]][at][: len(family) - 1].tolist()) for k in apart[family]}
        shared = rounded(memory["stage"]["sent"][at][: len(family) - 1].tolist())
        mechanisms.append({"parents": list(family[1:]), "coefficients": {"shared": shared, **own}})
    known: dict[str, Any] = {
        "value": round(best.value, 6),
        "second": None if best.second is None else round(best.second, 6),
    }
    known |= {"mechanisms": mechanisms, "all": best.all, "sites": memory["sites"], "rows": dict(peri["rows"])}
    told = said_of(peri, best.graph, [[*one[:2], *one[3:]] for one in first["edges"] if len(one) > 3], **known)
    return {**told, "families": first["families"]}

"""What the searches for causal graphs share: families as tensors, the sites' answers, who is left, what a site does."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainct.core.learner import Learner
from brainct.core.scheme import About, Memory, Report, Task
from brainct.core.weights import Weights
from brainct.errors import Refused
from brainct.graphs.cpdag import Graph, edges_of, edges_sha256
from brainct.graphs.moments import Family, Floats

LARGEST_SHARE, WARNED = 0.6, 10_000
HIDES = (
    "numbers that a site sends hide its rows, means and scales, and no more: from the first round the server can "
    "compute how strongly each two of the site's columns are correlated, and from later ones whether they rise "
    "together; this is not differential privacy"
)
"""What decides whether a hospital takes part; in docs and reports in these words."""
CAUSAL = About(
    paper="",
    family="causal graphs",
    summary="",
    when="",
    client_state="nothing",
    lost_site="left out of the whole run: the search begins again from the numbers of the other sites",
    privacy=HIDES,
    blocks={
        "update_noise": "sites send scores of columns, which are not an update of a model",
        "private_training": "the numbers that sites send are computed on their rows without noise",
    },
)


def encoded(families: Iterable[Family]) -> Tensor:
    """(F, 1 + parents) int16, padded with -1."""
    listed = list(families)
    width = max(map(len, listed), default=1)
    return torch.tensor([[*one, *[-1] * (width - len(one))] for one in listed], dtype=torch.int16).reshape(-1, width)


def decoded(families: Tensor, p: int) -> list[Family]:
    """The families; Refused for a variable that the job does not have."""
    found = [tuple(one for one in row if one >= 0) for row in families.tolist()]
    if any(not one or len(set(one)) < len(one) or max(one) >= p for one in found):
        raise Refused("the server asks for a family of columns that this job does not have")
    return found


def rows_of(learner: Learner) -> Floats:
    """(n, p) the site's rows."""
    return np.asarray(learner.samples("train")[0].numpy(), np.float64)


def opened(sites: Sequence[str], p: int) -> dict[str, Any]:
    """Memory before round 0. answers: by site. left_out: sites that were lost. rows: of each site that replied."""
    return {"p": p, "sites": sorted(sites), "left_out": [], "answers": {}, "rows": {}, "complete": True}


def there(memory: Memory) -> list[str]:
    """The sites that still take part."""
    return [site for site in memory["sites"] if site not in memory["left_out"]]


def answered(memory: Memory, asked: Mapping[str, Tensor], reports: Mapping[str, Report], key: str) -> dict[str, Any]:
    """Memory with a round's answers; what a lost site said before is gone with it.

    Answers that are the same at all sites are a sum of secure aggregation, out of which nothing can be taken: once a
    site is lost, all is asked anew.
    """
    lost = [site for site in there(memory) if site not in reports]
    answers = {site: one for site, one in memory["answers"].items() if site not in lost}
    if lost and _alike([*memory["answers"].values()], [report.weights[key] for report in reports.values()]):
        answers = {}
    for site, report in reports.items():
        if site not in asked:
            continue
        before = answers.get(site, {"families": encoded([]), "values": torch.empty(0, dtype=torch.float64)})
        families = encoded([*decoded(before["families"], memory["p"]), *decoded(asked[site], memory["p"])])
        answers[site] = {"families": families, "values": torch.cat([before["values"], report.weights[key]])}
    rows = {site: n for site, n in memory["rows"].items() if site not in lost}
    rows |= {site: report.examples for site, report in reports.items()}
    left_out = sorted({*memory["left_out"], *lost})
    return {**memory, "answers": answers, "left_out": left_out, "rows": rows, "restart": bool(lost)}


def _alike(earlier: Sequence[Mapping[str, Tensor]], now: Sequence[Tensor]) -> bool:
    first = [one["values"] for one in earlier] or list(now)
    return len(first) > 1 and len(first[0]) > 0 and all(torch.equal(first[0], one) for one in first[1:])


def scores_of(memory: Memory) -> dict[str, dict[Family, float]]:
    """The answers by site and family."""
    return {
        site: dict(zip(decoded(one["families"], memory["p"]), one["values"].tolist(), strict=True))
        for site, one in memory["answers"].items()
    }


def expected(task: Task, key: str) -> Weights:
    """A number for each family that was asked for."""
    return {key: torch.empty(len(task.extra["families"]), dtype=torch.float64, device="meta")}


def check_variables(p: int, most: int = 100) -> None:
    """Refuse more variables than a search can handle."""
    if p > most:
        raise Refused(
            f"the job has {p} columns; a search takes at most {most}: choose those that the question is about"
        )


def numbers_of(names: Sequence[str], groups: Sequence[Sequence[str]], whose: str) -> list[list[int]]:
    """Column names as numbers; Refused for one that the job does not have."""
    known = {name: at for at, name in enumerate(names)}
    if strange := sorted({name for group in groups for name in group if name not in known}):
        raise Refused(f"{whose} names {', '.join(strange)}; the job's columns are {', '.join(names)}")
    return [[known[name] for name in group] for group in groups]


def said_of(memory: Memory, graph: Graph, edges: Sequence[Sequence[Any]], **more: Any) -> dict[str, Any]:
    """What goes with the delivered graph, as JSON."""
    rows, warnings = memory["rows"], []
    if (whole := sum(rows.values())) and len(rows) > 1 and max(rows.values()) > LARGEST_SHARE * whole:
        warnings.append(f"{max(sorted(rows), key=lambda one: rows[one])} has more than 60 % of all rows")
    if memory["left_out"]:
        warnings.append(f"without {', '.join(memory['left_out'])}, lost during the search")
    if not memory["complete"]:
        warnings.append("the search did not end: the graph is incomplete")
    known = {tuple(edge[:2]): list(edge[2:]) for edge in edges}
    listed = [[i, j, mark, *known.get((i, j), known.get((j, i), []))] for i, j, mark in edges_of(graph)]
    return {"edges": listed, "edges_sha256": edges_sha256(graph), "warnings": warnings, **more}


def rounded(values: Collection[float]) -> list[float]:
    """Six digits after the point."""
    return [round(float(one), 6) for one in values]

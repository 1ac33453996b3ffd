"""Whole runs in which one of five sites lies in one of three ways: how far the graph is from the true one."""

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from causal_runs import played, wrong_pairs

from brainct.causal.generator import draw, random_graph
from brainct.core.scheme import Report, Task
from brainct.graphs.cpdag import completed

ABOUT = """
5 sites with 400 rows each, 5 columns, no changes. The first site sends, for every family that it is asked for, in place
of its score: an exponential number of mean 100, negative; the score with its sign turned; a hundred times the score.
Pairs of columns whose marks differ from the class of the true graph, means over the seeds. `min` and `median` with the
default baseline and with `baseline: dag`. `peri_environments` with `share: regrets`: the same lies in its search, and
the truth in the relays after it; with `share: moments`: the covariances of random numbers, those with each second
column's sign turned, a hundred times the covariances.
""".strip()
LIES: dict[str, Callable[[str, torch.Tensor], torch.Tensor]] = {
    "none": lambda named, scores: scores,
    "random": lambda named, scores: -_drawn(named, len(scores)),
    "turned": lambda named, scores: -scores,
    "times 100": lambda named, scores: 100 * scores,
}
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "sum": ("peri", {}),
    "min": ("peri", {"aggregate": "min"}),
    "min, base dag": ("peri", {"aggregate": "min", "baseline": "dag"}),
    "median": ("peri", {"aggregate": "median"}),
    "median, base dag": ("peri", {"aggregate": "median", "baseline": "dag"}),
    "environments, regrets": ("peri_environments", {"share": "regrets"}),
    "environments, moments": ("peri_environments", {}),
}


def _drawn(named: str, count: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(zlib.crc32(named.encode())).exponential(100, count))


def _moments(lie: str, seed: int, covariance: torch.Tensor) -> torch.Tensor:
    """(p (p + 1) / 2,) the lie in place of the upper triangle."""
    p = int((2 * len(covariance)) ** 0.5)
    signs = np.resize([1.0, -1.0], p)
    mixed = np.random.default_rng(seed).standard_normal((p, p))
    told = {"none": covariance, "turned": covariance * torch.from_numpy(np.outer(signs, signs)[np.triu_indices(p)])}
    told |= {"times 100": 100 * covariance, "random": torch.from_numpy((mixed @ mixed.T)[np.triu_indices(p)])}
    return told[lie]


def measured(seed: int) -> dict[str, Any]:
    """Aggregate -> lie -> wrong pairs."""
    drawn = draw(random_graph(5, 2.0, seed), [400] * 5, seed)

    def wrong(scheme: str, arguments: dict[str, Any], lie: str) -> int:
        def told(site: str, task: Task, report: Report) -> Report:
            if site == "site-00" and "covariance" in report.weights:
                lied = _moments(lie, seed, report.weights["covariance"])
                return replace(report, weights={**report.weights, "covariance": lied})
            if site != "site-00" or "scores" not in report.weights:
                return report
            named = f"{seed} {task.extra['families'].tolist()}"
            return replace(report, weights={"scores": LIES[lie](named, report.weights["scores"])})

        return wrong_pairs(played(scheme, arguments, drawn.rows, told).graph, completed(drawn.graph))

    return {"about": ABOUT, "runs": {name: {lie: wrong(*one, lie) for lie in LIES} for name, one in RUNS.items()}}

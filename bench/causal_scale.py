"""How seconds, memory, bytes and rounds grow with columns, sites and rows."""

import multiprocessing
import resource
import time
from typing import Any

import causal_runs
import numpy as np

from brainct.causal.generator import draw, random_graph

SIZES: dict[str, tuple[int, int, int]] = {
    "10 columns, 4 sites, 1,000 rows": (10, 4, 1000),
    "20 columns, 20 sites, 1,000 rows": (20, 20, 1000),
    "50 columns, 5 sites, 1,000 rows": (50, 5, 1000),
    "50 columns, 20 sites, 1,000 rows": (50, 20, 1000),
    "50 columns, 20 sites, 10,000 rows": (50, 20, 10_000),
    "100 columns, 20 sites, 1,000 rows": (100, 20, 1000),
}
METHODS = {
    "PERI sum": ("peri", {}),
    "environments, moments": ("peri_environments", {}),
}


def measured(p: int, m: int, n: int) -> dict[str, Any]:
    """Each method in a process of its own, so that peaks do not add up."""
    runs = []
    for name in METHODS:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            runs.append(pool.apply(one, (name, p, m, n)))
    return {"runs": runs}


def one(name: str, p: int, m: int, n: int) -> dict[str, Any]:
    from brainct.core.determinism import one_thread

    one_thread()
    scheme, arguments = METHODS[name]
    drawn = draw(random_graph(p, 2.0, 1), [n] * m, 1)
    began = time.process_time()
    found = causal_runs.played(scheme, arguments, drawn.rows)
    spent = time.process_time() - began
    wrong = causal_runs.wrong_pairs(found.graph, causal_runs.completed(drawn.graph))
    return {
        "method": name,
        "edges": int(np.triu((found.graph != 0) | (found.graph.T != 0)).sum()),
        "wrong": wrong,
        "rounds": found.rounds,
        "families": found.families,
        "up": int(found.up),
        "down": int(found.down),
        "site_seconds": round(found.site_seconds / m, 2),
        "server_seconds": round(spent - found.site_seconds, 2),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }

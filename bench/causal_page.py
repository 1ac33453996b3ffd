"""docs/results/causal.md from the ledger of bench/causal.py."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Rows = Sequence[Mapping[str, Any]]
HEAD = """# Causal discovery: every method against a known graph

Written by `python bench/causal.py` from [causal/ledger.jsonl](causal/ledger.jsonl), which it adds to.
"""
INTRODUCTION = """
Random graphs with an expected degree of 2. "m x n" is m sites with n rows each, with 5 to 8 columns in turn where no
number stands (6 where curved). "Changes": at every site but the first one or two columns have another mechanism: causes
removed, signs turned, noise halved or doubled. "Hard changes": one column loses its causes. Curved: quadratic and cubic
mechanisms. Each cell says its number of seeds; numbers are means over these.

- class: pairs of columns whose marks differ from the class of the true graph, so that what changes orient beyond it
  counts as wrong here; dag: from the true graph itself, so that an undirected edge counts as wrong; SID: ordered pairs
  of columns whose effect would be computed wrongly (gadjid), of one DAG of what was found.
- edges: precision and recall of pairs that are joined, over all seeds together; changed: of (column, site) pairs. A
  dash: the method says nothing of it. For pooled GES the grouping of `peri_environments` is run on its graph.
- bytes: up and down at one site, packed tensors without what FLARE adds.
- The federated ORION is asserted to have the central one's graph and bits at each seed.
"""


def page(rows: Rows, cells: Mapping[str, Any]) -> str:
    """The whole page."""
    text = [HEAD.strip(), "", "## Graphs", INTRODUCTION.rstrip()]
    for name in cells:
        seeds = [row["found"] for row in rows if row["part"] == "graphs" and row["cell"] == name]
        if seeds:
            text += ["", f"### {name} ({len(seeds)} seeds)", "", *_cell(seeds)]
    text += _scale([row for row in rows if row["part"] == "scale"])
    text += _ct([row["found"] for row in rows if row["part"] == "ct"])
    return "\n".join(text) + "\n"


def _cell(seeds: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        "| method | class | dag | SID | edges P / R | changed P / R | rounds | bytes up | down |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for method in dict.fromkeys(name for one in seeds for name in one):
        each = [one[method] for one in seeds if method in one]
        keys = ("cpdag", "dag", "sid", "rounds", "up", "down")
        mean = {key: float(np.mean([one[key] for one in each])) for key in keys}
        shares = f"{_share(each, 'hits', 'said')} / {_share(each, 'hits', 'edges')}"
        changed = "-"
        if "pairs" in each[0]:
            changed = f"{_share(each, 'pairs hit', 'pairs said')} / {_share(each, 'pairs hit', 'pairs')}"
        sent = f"{mean['rounds']:.1f} | {mean['up']:,.0f} | {mean['down']:,.0f}" if mean["rounds"] else "- | - | -"
        numbers = f"{mean['cpdag']:.2f} | {mean['dag']:.2f} | {mean['sid']:.2f}"
        lines.append(f"| {method} | {numbers} | {shares} | {changed} | {sent} |")
    return lines


def _share(each: Sequence[Mapping[str, float]], part: str, whole: str) -> str:
    total = sum(one[whole] for one in each)
    return f"{sum(one[part] for one in each) / total:.2f}" if total else "-"


def _scale(rows: Rows) -> list[str]:
    if not rows:
        return []
    keys = ["method", "edges", "wrong", "rounds", "families", "up", "down", "site_seconds", "server_seconds", "peak"]
    titles = ["size", "method", "edges", "wrong pairs", "rounds", "families", "bytes up", "down", "CPU s at a site",
              "CPU s at the server", "peak MiB"]  # fmt: skip
    lines = [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    for row in rows:
        for one in row["found"]["runs"]:
            lines.append(f"| {row['cell']} | " + " | ".join(_plain(one[key]) for key in keys) + " |")
    said = "One run each, linear data without changes, degree 2, one thread, other work on the machine."
    return ["", "## How cost grows", "", said, "", *lines]


def _plain(value: Any) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _ct(seeds: Sequence[Mapping[str, Any]]) -> list[str]:
    if not seeds:
        return []
    text = ["", f"## A table made of scans ({len(seeds)} seeds)", "", seeds[0]["about"], ""]
    lines = [
        "| method | dag | SID | edges P / R | directions right | scanners found P / R |",
        "|---|---|---|---|---|---|",
    ]
    for method in seeds[0]["runs"]:
        each = [one["runs"][method] for one in seeds]
        numbers = f"{np.mean([one['dag'] for one in each]):.2f} | {np.mean([one['sid'] for one in each]):.2f}"
        shares = f"{_share(each, 'hits', 'said')} / {_share(each, 'hits', 'edges')} | {_share(each, 'right', 'edges')}"
        found = "-"
        if "pairs" in each[0]:
            found = f"{_share(each, 'pairs hit', 'pairs said')} / {_share(each, 'pairs hit', 'pairs')}"
        lines.append(f"| {method} | {numbers} | {shares} | {found} |")
    return [*text, *lines]

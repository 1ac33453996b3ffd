"""docs/results/causal.md from the ledger of bench/causal.py."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Rows = Sequence[Mapping[str, Any]]
ORDER = ["pooled GES", "one site's GES", "PERI sum", "PERI min", "PERI min, base dag", "PERI median",
         "environments, regrets", "environments, moments",
         "PERI sum, mdl", "ORION, central", "ORION, federated"]  # fmt: skip
READ = """
How to read it. Nine of the ten edges that the sum, the pool and `peri_environments` find are in the consensus, and half
of the consensus is found. The directions come out of the differences between conditions alone: `peri_environments` has
12 pairs wrong, the sum and the pool 18. The column "class" counts just these directions as wrong, since the consensus's
class leaves all 17 open. On whom a reagent acted is not found: with about 800 cells in each condition more than half of
all pairs differ beyond chance, and two conditions lack the stimulus that the other seven have, so that no large group
shares a mechanism (assumption 5 of [causal.md](../causal.md)). ORION finds fewer edges, and none of the targets. No
method is shown to be better by one table: this is one run, and the consensus is no measurement.
""".strip()
LIARS = """
How to read it. One of five sites that sends random scores spoils the sum, the minimum and `peri_environments`; the
median alone holds against all three lies. It takes the median of the sites' gains, in which a baseline cancels, so that
its two lines are the same.
""".strip()
CHANCE = """
A few graphs whose effects nearly cancel make up most of the wrong pairs, so that two means of twenty seeds may differ
by 1 without a reason. Compare methods within a cell, where they have the same graphs and rows, and not two cells.
""".strip()
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
    text += _chance([row for row in rows if row["part"] == "chance"])
    text += _scale([row for row in rows if row["part"] == "scale"])
    text += _ct([row["found"] for row in rows if row["part"] == "ct"])
    text += _liars([row["found"] for row in rows if row["part"] == "liars"])
    text += _sachs([row["found"] for row in rows if row["part"] == "sachs"])
    return "\n".join(text) + "\n"


def _cell(seeds: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        "| method | class | dag | SID | edges P / R | changed P / R | rounds | bytes up | down |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    said = dict.fromkeys(name for one in seeds for name in one)
    for method in sorted(said, key=ORDER.index):
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


def _chance(rows: Rows) -> list[str]:
    if not rows:
        return []
    times = len(rows[0]["found"]["means"])
    said = f'Wrong pairs of pooled GES ("class"), {times} times twenty seeds; the first twenty are those above.'
    lines = ["| cell | all | means of twenty seeds |", "|---|---|---|"]
    for row in rows:
        means = row["found"]["means"]
        lines.append(f"| {row['cell']} | {np.mean(means):.2f} | {', '.join(f'{one:.2f}' for one in means)} |")
    return ["", "## How far twenty seeds are off by chance", "", said, "", *lines, "", CHANCE]


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


def _liars(seeds: Sequence[Mapping[str, Any]]) -> list[str]:
    if not seeds:
        return []
    lies = list(seeds[0]["runs"]["sum"])
    lines = ["", f"## A site that lies ({len(seeds)} seeds)", "", seeds[0]["about"], ""]
    lines += [f"| aggregate | {' | '.join(lies)} |", "|---" * (1 + len(lies)) + "|"]
    for kind in seeds[0]["runs"]:
        each = [np.mean([one["runs"][kind][lie] for one in seeds]) for lie in lies]
        lines.append(f"| {kind} | " + " | ".join(f"{one:.2f}" for one in each) + " |")
    return [*lines, "", LIARS]


def _sachs(rows: Rows) -> list[str]:
    if not rows:
        return []
    (found,) = rows
    lines = ["", "## A measured table: proteins of single cells", "", found["about"], "", *_cell([found["runs"]])]
    who = ", ".join(f"{name}: {one['who']}" for name, one in found["runs"].items() if "who" in one)
    return [*lines, "", f"Of the 99 pairs of a protein and a condition so many are said to differ: {who}.", "", READ]

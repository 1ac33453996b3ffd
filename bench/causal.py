"""Causal discovery: every method against a known graph; how cost grows; a table made of scans; and a measured one.

    python bench/causal.py [graphs] [--minutes 7] [--only WORD]   # as far as time allows; again to go on
    python bench/causal.py chance
    python bench/causal.py scale [--minutes 7]
    python bench/causal.py ct [--minutes 7]
    python bench/causal.py liars
    python bench/causal.py sachs                                  # fetches the package that has the table

Adds to docs/results/causal/ledger.jsonl what is not in it yet, and writes docs/results/causal.md from all of it.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from causal_page import page
from causal_runs import Cell, measured

from brainct.core.determinism import one_thread

RESULTS = Path(__file__).parent.parent / "docs" / "results"
LEDGER = RESULTS / "causal" / "ledger.jsonl"
Row = dict[str, Any]
Todo = Iterator[tuple[str, int, Callable[[], Row]]]


def _cells() -> dict[str, Cell]:
    same = {f"{m} x {n:,}": Cell((n,) * m) for n in (60, 100, 400, 2000) for m in (2, 4, 10, 20)}
    asked = ["2 x 60", "4 x 100", "10 x 100", "4 x 400", "10 x 400", "10 x 2,000", "20 x 60"]
    found = {f"{name}, same": same[name] for name in asked}
    differ = ["2 x 400", *asked[1:5], "4 x 2,000", "10 x 2,000", "20 x 60", "20 x 2,000"]
    found |= {f"{name}, changes": Cell(same[name].rows, changes=None) for name in differ}
    found["10 x 400, changes at 5"] = Cell((400,) * 10, changes=None, usual=5)
    found["4 x 60 and 1 x 1,500, same"] = Cell((60,) * 4 + (1500,), (6, 6))
    found["10 x 400, 12 columns, changes"] = Cell((400,) * 10, (12, 12), None)
    found["10 x 400, 20 columns, same"] = Cell((400,) * 10, (20, 20))
    found["10 x 400, 20 columns, changes"] = Cell((400,) * 10, (20, 20), None)
    curved = {"2 x 2,000": (2000,) * 2, "4 x 500": (500,) * 4, "8 x 500": (500,) * 8, "20 x 60": (60,) * 20}
    for name, rows in curved.items():
        for word, many in (("same", 0), ("hard changes", 1)):
            found[f"{name}, curved, {word}"] = Cell(rows, (6, 6), many, linear=False, hard=True)
    found["4 x 500, 12 columns, curved, hard changes"] = Cell((500,) * 4, (12, 12), 1, False, hard=True, seeds=5)
    found["4 x 500, 20 columns, curved, hard changes"] = Cell((500,) * 4, (20, 20), 1, False, hard=True, seeds=3)
    return found


CELLS = _cells()
CHANCE = ["4 x 100, same", "10 x 100, same", "4 x 400, same", "10 x 400, same", "10 x 2,000, same"]


def graphs() -> Todo:
    """All cells, seed by seed, so that a short run has something of each."""
    for seed in range(20):
        for name, cell in CELLS.items():
            if seed < cell.seeds:
                yield name, seed, lambda cell=cell, seed=seed: measured(cell, seed)


def scale() -> Todo:
    """Growth in columns, sites and rows."""
    import causal_scale

    for name, choices in causal_scale.SIZES.items():
        yield name, 0, lambda choices=choices: causal_scale.measured(*choices)


def ct() -> Todo:
    """The table made of phantom scans."""
    import causal_ct

    for seed in range(10):
        yield "scans", seed, lambda seed=seed: causal_ct.measured(seed)


def liars() -> Todo:
    """Whole runs in which one of five sites sends wrong scores."""
    import causal_liars

    for seed in range(20):
        yield "liars", seed, lambda seed=seed: causal_liars.measured(seed)


def chance() -> Todo:
    """How far the mean of twenty seeds is off by chance: pooled GES, ten times twenty seeds."""
    import causal_runs

    for name in CHANCE:
        yield name, 0, lambda name=name: causal_runs.means_of_twenty(CELLS[name], 10)


def sachs() -> Todo:
    """A measured table with a graph that the field agrees on."""
    import causal_sachs

    yield "nine conditions", 0, causal_sachs.measured


PARTS: dict[str, Callable[[], Todo]] = {one.__name__: one for one in (graphs, chance, scale, ct, liars, sachs)}


def rows() -> list[Row]:
    """The ledger."""
    return [json.loads(line) for line in LEDGER.read_text().splitlines()] if LEDGER.exists() else []


def _written(whole: list[Row]) -> None:
    fresh = LEDGER.with_suffix(".new")
    fresh.write_text("".join(json.dumps(row) + "\n" for row in whole))
    fresh.replace(LEDGER)


def dropped(method: str) -> None:
    """The ledger without one method's numbers."""
    _written([{**row, "found": {key: one for key, one in row["found"].items() if key != method}} for row in rows()])


def lacking(method: str, minutes: float) -> None:
    """One method's numbers for the rows of `graphs` that lack them, as far as time allows."""
    began = time.monotonic()
    asked = [(row["cell"], row["seed"]) for row in rows() if row["part"] == "graphs" and method not in row["found"]]
    for at, (cell, seed) in enumerate(asked):
        if time.monotonic() - began > 60 * minutes:
            print(f"{len(asked) - at} left; call again")
            return
        found, whole = measured(CELLS[cell], seed, method), rows()
        for row in whole:
            if (row["part"], row["cell"], row["seed"]) == ("graphs", cell, seed):
                row["found"] |= found
        _written(whole)
        print(f"{cell}, seed {seed}: {method}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", choices=[*PARTS, "page"], default="graphs")
    parser.add_argument("--minutes", type=float, default=600.0)
    parser.add_argument("--only", default="")
    parser.add_argument("--again", help="a method of `graphs` whose numbers are dropped and measured anew")
    parser.add_argument("--lacking", help="a method of `graphs` that is measured in the rows that lack it")
    chosen = parser.parse_args()
    one_thread()
    LEDGER.parent.mkdir(parents=True, exist_ok=True)
    if chosen.again:
        dropped(chosen.again)
    if method := chosen.again or chosen.lacking:
        lacking(method, chosen.minutes)
        (RESULTS / "causal.md").write_text(page(rows(), CELLS))
        return
    known = {(row["part"], row["cell"], row["seed"]) for row in rows()}
    began, left = time.monotonic(), 0
    for name, seed, run in PARTS.get(chosen.part, lambda: iter(()))():
        if (chosen.part, name, seed) in known or chosen.only not in name:
            continue
        if time.monotonic() - began > 60 * chosen.minutes:
            left += 1
            continue
        started = time.monotonic()
        found = run()
        row = {"part": chosen.part, "cell": name, "seed": seed, "found": found}
        with LEDGER.open("a") as ledger:
            ledger.write(json.dumps(row) + "\n")
        print(f"{name}, seed {seed}: {time.monotonic() - started:.1f} s", flush=True)
    (RESULTS / "causal.md").write_text(page(rows(), CELLS))
    print(f"{left} left; call again" if left else "complete")


if __name__ == "__main__":
    main()

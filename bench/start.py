"""Real head CT with and without the start model: zero-shot, one round of ridge, and the schemes; resumable.

    export BRAINCT_HEAD_CT=folder/with/labels.csv
    python bench/start.py --minutes 7        # again until it says that nothing is left
    python bench/start.py --table            # prints the table of docs/results/start.md

The plan is that of docs/results/head_ct: 7 sites with 16 slices each, 28 test slices, every seed another partition and
other weights. Without --anew, rows without the start model count that were measured there on the same partitions, by
earlier code on another kind of CPU; those of seed 1 are always done again here.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

from resumed import spread

from brainct.compare.comparison import Comparison, Entry
from brainct.compare.comparison_file import comparison_of
from brainct.compare.ledger import append_row, read_rows
from brainct.compare.one_run import run_one
from brainct.compare.planned_runs import PlannedRun, plan_run
from brainct.compare.run_row import RunRow
from brainct.compare.statistics import difference_of
from brainct.core.determinism import one_thread

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "results" / "start"
EARLIER = ROOT / "docs" / "results" / "head_ct" / "ledger.jsonl"
STILL = {"rate": 1e-30, "epochs": 1, "optimizer": "sgd"}
"""Local training that changes no bit of float32 weights."""

METHODS: dict[str, dict[str, Any]] = {
    "zero-shot": {"scheme": "fedavg", "rounds": 1, "fit": STILL},
    "ridge, 1 round": {"scheme": "ridge", "rounds": 1},
    "alone": {"scheme": "local"},
    "fedavg, 10 rounds": {"scheme": "fedavg", "rounds": 10},
    "fedavg": {"scheme": "fedavg"},
    "feddc": {"scheme": "feddc"},
    "feddyn": {"scheme": "feddyn"},
    "pooled": {"scheme": "fedavg", "pooled": True},
}


def comparison(seeds: int) -> Comparison:
    data = str((ROOT / "poc" / "sites" / "head_ct.yaml").resolve())
    return comparison_of(
        {
            "seeds": seeds,
            "rounds": 30,
            "fit": {"optimizer": "adamw", "rate": 0.003, "decay": "cosine", "epochs": 3},
            "network": {"architecture": "cnn", "size": 64, "options": {"widths": [8, 16, 32, 64]}},
            "evaluate_every": 0,
            "federations": [{"name": "head CT 7x16", "data": data, "sites": 7, "scans": 16, "skew": "iid"}],
        },
        "bench/start.py",
    )


def runs(plan: Comparison, only: list[str]) -> list[PlannedRun]:
    """Seeds in turn; with the start model first. only: names of METHODS; [] for all."""
    found = []
    for seed in plan.seeds:
        for start in ("phantom", ""):
            for name, choices in ((name, METHODS[name]) for name in only or METHODS):
                entry = Entry(name=f"{name} + phantom" if start else name, start_from=start, **choices)
                if start or name != "zero-shot":
                    found.append(plan_run(plan, plan.federations[0], entry, {}, seed, 1))
    return found


def rows_of(ledger: Path, wanted: list[PlannedRun], earlier: bool) -> dict[tuple[str, int], RunRow]:
    """The newest row that is done of each method and seed; rows of docs/results/head_ct count where it has the same
    method, and must be of the same partition."""
    named = {run.key: (run.entry.label, run.seed) for run in wanted}
    own = {named[row.key]: row for row in read_rows(ledger) if row.key in named and row.status == "done"}
    thirty = {(run.entry.label, run.seed) for run in wanted if not run.plan.start_from and run.plan.rounds == 30}
    then = read_rows(EARLIER) if earlier else []
    old = {(row.name, row.seed): row for row in then if row.budget == 1 and row.status == "done"}
    found = {place: old[place] for place in thirty & old.keys()} | own
    for (name, seed), row in found.items():
        twin = own.get((name.removesuffix(WITH) + WITH, seed))
        assert twin is None or [one.fingerprint for one in twin.sites.values()] == [
            one.fingerprint for one in row.sites.values()
        ], f"{name}, seed {seed}: docs/results/head_ct is of another partition; run with --anew"
    return found


def auroc(row: RunRow) -> float:
    """Mean over the sites; they share the test slices."""
    return statistics.fmean(site.scores["auroc"] for site in row.sites.values())


def table(rows: dict[tuple[str, int], RunRow], seeds: list[int]) -> str:
    lines = ["| method | seeds | without | with | difference, 95 % interval | ahead in | KiB a site | CPU s |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for name in METHODS:
        have = {start: {s: rows[name + start, s] for s in seeds if (name + start, s) in rows} for start in ("", WITH)}
        scores = {start: {s: auroc(row) for s, row in found.items()} for start, found in have.items()}
        both = sorted(scores[""].keys() & scores[WITH].keys())
        cells = [spread([one[s] for s in both or one]) for one in scores.values()]
        found = difference_of(*([have[start][s] for s in both] for start in (WITH, ""))) if len(both) > 1 else None
        low, high = (found and found.interval) or (0.0, 0.0)
        change = f"{found.mean:+.3f} [{low:+.3f}, {high:+.3f}]" if found else "–"
        ahead = f"{sum(scores[WITH][s] > scores[''][s] for s in both)} of {len(both)}" if both else "–"
        some = list(have[WITH].values())
        kib = (
            "–"
            if not some or some[0].kib_per_site is None
            else f"{statistics.fmean(r.kib_per_site for r in some):,.0f}"
        )
        cpu = f"{statistics.fmean(row.times.cpu for row in some):.0f}" if some else "–"
        lines.append(
            f"| {name} | {len(both or have[WITH])} | {cells[0]} | {cells[1]} | {change} | {ahead} | {kib} | {cpu} |"
        )
    return "\n".join(lines)


WITH = " + phantom"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=7)
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--anew", action="store_true", help="take no row over from docs/results/head_ct")
    parser.add_argument("--only", nargs="+", default=[], choices=list(METHODS), help="these methods; default: all")
    parser.add_argument("--table", action="store_true", help="run nothing")
    chosen = parser.parse_args()
    one_thread()
    chosen.out.mkdir(parents=True, exist_ok=True)
    plan, ledger, began = comparison(chosen.seeds), chosen.out / "ledger.jsonl", time.monotonic()
    wanted, opened = runs(plan, chosen.only), {}
    if not chosen.table:
        for run in wanted:
            done = rows_of(ledger, wanted, not chosen.anew and run.seed > 1)
            if (run.entry.label, run.seed) in done:
                continue
            if time.monotonic() - began > 60 * chosen.minutes:
                print("time is up; the same command goes on")
                break
            if run.seed not in opened:
                opened = {run.seed: run.federation.open(run.seed, run.plan)}
            row = run_one(run, opened[run.seed])
            append_row(ledger, row)
            print(f"{run}: {row.error or f'AUROC {auroc(row):.3f}'}, {row.times.cpu:.0f} s of CPU", flush=True)
        else:
            print("nothing is left")
    print(table(rows_of(ledger, wanted, not chosen.anew), list(plan.seeds)))


if __name__ == "__main__":
    main()

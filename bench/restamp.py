"""Gives rows of committed ledgers today's code hash where today's code computes them again, number by number.

python bench/restamp.py docs/results/phantom [--seeds 3] [--workers 2] [--estimate]

Of each setting (scheme, grid point, federation, budget) the first seeds are computed again. Where every number and the
model's SHA-256 are those of the ledger, all rows of the setting get the new hash; all others stay, and are named.
"""

import argparse
import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from brainct.compare.comparison_file import read_comparisons
from brainct.compare.ended_runs import EndedRuns
from brainct.compare.ledger import LEDGER, append_row, read_rows
from brainct.compare.one_run import run_one
from brainct.compare.planned_runs import PlannedRun, planned_runs
from brainct.compare.run_row import RunRow
from brainct.core.determinism import one_thread

MAY_DIFFER = {"code", "key", "times", "versions"}
"""What a row says of its code and its machine, and not of its result."""

Setting = tuple[str, str, str, int]
RUNS: dict[tuple[Setting, int], PlannedRun] = {}
"""The planned runs, which processes that are forked later have too."""


def setting_of(row: RunRow) -> Setting:
    """What rows share that differ by their seed alone."""
    return row.name, json.dumps(row.grid, sort_keys=True), row.federation, row.budget


def settings_of(rows: list[RunRow]) -> dict[Setting, dict[int, RunRow]]:
    """The rows of each setting that are done, by seed; of several the last, whose code is the newest."""
    found: dict[Setting, dict[int, RunRow]] = {}
    for row in sorted(rows, key=lambda row: row.seed):
        if row.status == "done":
            found.setdefault(setting_of(row), {})[row.seed] = row
    return found


def planned(folder: Path, rows: list[RunRow]) -> dict[tuple[Setting, int], PlannedRun]:
    """The runs that the folder's comparison files ask for, whatever code computed the rows that tuned their grids."""
    ended = EndedRuns((row for row in rows if row.status == "done"), accept=[""])
    found = {}
    for file in sorted(folder.glob("*.yaml")):
        for run in _runs(file, ended):
            point = json.dumps(dict(run.point), sort_keys=True)
            found[(run.entry.label, point, run.federation.label, run.budget), run.seed] = run
    return found


def _runs(file: Path, ended: EndedRuns) -> Iterator[PlannedRun]:
    for _, comparison in read_comparisons(file):
        yield from planned_runs(comparison, ended)


def computed(key: Setting, seed: int, folder: Path) -> RunRow:
    """The run's row as a ledger has it."""
    one_thread()
    run = RUNS[key, seed]
    path = folder / f"{run.key}.jsonl"
    append_row(path, run_one(run, run.federation.open(run.seed, run.plan)))
    return read_rows(path)[-1]


def differences(old: RunRow, new: RunRow) -> list[str]:
    """The parts of two rows that differ."""
    before, after = old.model_dump(exclude=MAY_DIFFER), new.model_dump(exclude=MAY_DIFFER)
    return [name for name in before if before[name] != after[name]]


def restamped(path: Path, new: dict[tuple[Setting, int], PlannedRun], rows: list[RunRow]) -> int:
    """Give the lines of these rows today's hash; returns how many."""
    codes = {(row.key, row.code): new[setting_of(row), row.seed] for row in rows}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    count = 0
    for line in lines:
        run = codes.get((line["key"], line["code"]))
        if run is not None and run.key == line["key"]:
            line["code"] = run.code
            count += 1
    written = path.with_suffix(".new")
    written.write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in lines))
    os.replace(written, path)
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--estimate", action="store_true", help="say how long it would take, and do nothing")
    given = parser.parse_args()
    path = given.folder / LEDGER
    rows = read_rows(path)
    runs, settings = planned(given.folder, rows), settings_of(rows)
    RUNS.update(runs)
    known = {key: list(some.values()) for key, some in settings.items() if all((key, seed) in runs for seed in some)}
    asked = {key: some[: given.seeds] for key, some in known.items()}
    chosen = [row for some in asked.values() for row in some]
    cpu = sum(row.times.cpu or row.times.wall for row in chosen)
    kept = sum(runs[key, row.seed].key == row.key for key, some in asked.items() for row in some)
    print(
        f"{len(settings)} settings, {len(asked)} of them in the comparison files; {kept} of {len(chosen)} keys as today"
    )
    print(f"{len(chosen)} runs, {cpu / 60:.0f} minutes of one core")
    if given.estimate:
        return
    scratch = given.folder / ".restamp"
    scratch.mkdir(exist_ok=True)
    same: set[Setting] = set()
    with ProcessPoolExecutor(given.workers, get_context("fork")) as pool:
        again = {(key, row.seed): pool.submit(computed, key, row.seed, scratch) for key in asked for row in asked[key]}
        for key, some in asked.items():
            gaps = {name for row in some for name in differences(row, again[key, row.seed].result())}
            print(*key, "differs in " + ", ".join(sorted(gaps)) if gaps else "is the same", flush=True)
            same |= set() if gaps else {key}
    count = restamped(path, runs, [row for key in same for row in known[key]])
    print(f"{count} of {len(rows)} rows have today's hash")
    for file in scratch.iterdir():
        file.unlink()
    scratch.rmdir()


if __name__ == "__main__":
    main()

"""A bench of many runs that goes on where it was stopped: one JSON line a run, and figures over seeds."""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from brainct.core.determinism import one_thread

Row = dict[str, Any]
Runs = Iterable[tuple[Mapping[str, Any], Callable[[], Row]]]


def command(about: str | None, name: str, runs: Callable[[int], Runs], table: Callable[[list[Row]], str]) -> None:
    """Read --seeds, --minutes and --keep, do what is left, and print the table of all rows.

    about: the program's docstring. name: of the file of rows. runs: those of one seed.
    """
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=7)
    parser.add_argument("--keep", type=Path, default=Path(f"/tmp/{name}.jsonl"))
    chosen = parser.parse_args()
    one_thread()
    wanted = (run for seed in range(1, chosen.seeds + 1) for run in runs(seed))
    print(table(resumed(chosen.keep, chosen.minutes, wanted)))


def resumed(keep: Path, minutes: float, runs: Runs) -> list[Row]:
    """All rows of the file, after the runs that it lacks were added while there is time.

    runs: what identifies a run among the rows, and what does it.
    """
    began = time.monotonic()
    rows = [json.loads(line) for line in keep.read_text().splitlines()] if keep.exists() else []
    for named, run in runs:
        if any(named.items() <= row.items() for row in rows):
            continue
        if time.monotonic() - began > 60 * minutes:
            print("time is up; the same command goes on")
            break
        rows.append(run())
        with keep.open("a") as file:
            file.write(json.dumps(rows[-1]) + "\n")
        print(json.dumps(rows[-1]), flush=True)
    return rows


def spread(values: list[float]) -> str:
    """Mean and standard deviation; a dash without a value."""
    if not values:
        return "–"
    return f"{statistics.fmean(values):.3f} ± {statistics.stdev(values) if len(values) > 1 else 0:.3f}"

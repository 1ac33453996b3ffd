"""A bench of many runs that goes on where it was stopped: one JSON line a run, and figures over seeds."""

import json
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def resumed(keep: Path, minutes: float, runs: Iterable[tuple[Mapping[str, Any], Callable[[], Row]]]) -> list[Row]:
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

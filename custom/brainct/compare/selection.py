"""Which rows a table is made of: one a seed, of the same choices, at the grid point that won on validation scans."""

from collections.abc import Mapping, Sequence

import numpy as np

from brainct.compare.run_row import RunRow

Place = tuple[str, int]
"""A federation's name and a budget."""
Groups = Mapping[str, Sequence[RunRow]]
"""Rows by the name of their scheme, one a seed."""


def winner(rows: Sequence[RunRow]) -> Mapping[str, object] | None:
    """The grid point with the best mean validation score among tuning runs; at a tie, the one with the lower loss, and
    at a tie of both the first by name and value, whatever the order of the rows.

    A point that lacks a seed which another has (its run failed) can't win. None if no run has a validation score.
    """
    points: dict[str, list[RunRow]] = {}
    for row in rows:
        if row.status == "done" and row.valid_score is not None:
            points.setdefault(repr(sorted(row.grid.items())), []).append(row)
    most = max(map(len, points.values()), default=0)
    complete = [runs for _, runs in sorted(points.items()) if len(runs) == most]
    return max(complete, key=_validation)[0].grid if complete else None


def _validation(rows: Sequence[RunRow]) -> tuple[float, float]:
    score = np.mean([row.valid_score for row in rows if row.valid_score is not None])
    return float(score), -float(np.mean([row.valid_loss for row in rows if row.valid_loss is not None]))


def select_rows(rows: Sequence[RunRow]) -> dict[Place, dict[str, list[RunRow]]]:
    """The finished runs that tables show: by federation and budget, then by name, one row a seed.

    A tuned scheme is shown at the grid point that won on the validation folds. The lowest budget decides, on the seeds
    that all points have; while no point can be chosen, the scheme is left out. Runs of one name whose other choices
    differ are never mixed: those like the latest row count (see `same_choices`).
    """
    found: dict[Place, dict[str, list[RunRow]]] = {}
    done = [row for row in same_choices(rows) if row.status == "done"]
    for federation, name in dict.fromkeys((row.federation, row.name) for row in done):
        mine = [row for row in done if (row.federation, row.name) == (federation, name)]
        for budget, chosen in _rows_at_best_point(mine).items():
            found.setdefault((federation, budget), {})[name] = chosen
    return found


def _rows_at_best_point(rows: Sequence[RunRow]) -> dict[int, list[RunRow]]:
    """By budget, the rows of the grid point that won, one a seed, seeds in order; {} while none can be chosen."""
    best = _best_point(rows)
    chosen: dict[int, dict[int, RunRow]] = {}
    for row in rows if best is not None else ():
        if row.grid == best:
            chosen.setdefault(row.budget, {})[row.seed] = row
    return {budget: [by_seed[seed] for seed in sorted(by_seed)] for budget, by_seed in sorted(chosen.items())}


def same_choices(rows: Sequence[RunRow]) -> list[RunRow]:
    """The rows whose choices, except seed and grid, equal those of the latest row of their name, federation, budget."""
    latest = {(row.federation, row.name, row.budget): _fixed_choices(row) for row in rows}
    return [row for row in rows if _fixed_choices(row) == latest[row.federation, row.name, row.budget]]


def _fixed_choices(row: RunRow) -> tuple[object, ...]:
    """The choices without the seed and the grid's; a choice that older rows lack counts as its default."""
    varied = {name.removeprefix("fit.") for name in row.grid}
    fit = {name: value for name, value in row.plan.get("fit", {}).items() if name not in varied}
    arguments = {name: value for name, value in row.arguments.items() if name not in varied}
    rest = {"workload": "ct", **row.plan}
    for name in ("seed", "fit", "arguments"):
        rest.pop(name, None)
    choices = {name: value for name, value in row.choices.items() if value is not None}
    return row.way, rest, fit, arguments, choices


def _best_point(rows: Sequence[RunRow]) -> Mapping[str, object] | None:
    lowest = min(row.budget for row in rows)
    first = [row for row in rows if row.budget == lowest]
    grids = [row.grid for at, row in enumerate(first) if row.grid not in [one.grid for one in first[:at]]]
    if len(grids) == 1:
        return grids[0]
    common = set.intersection(*({row.seed for row in first if row.grid == grid} for grid in grids))
    return winner([row for row in first if row.seed in common])

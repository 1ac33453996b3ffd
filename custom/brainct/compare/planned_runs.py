"""The runs that follow from a comparison: each scheme at each seed, federation and budget; grids come first."""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from brainct.compare.code_hash import code_of
from brainct.compare.comparison import Comparison, Entry
from brainct.compare.federation import Federation
from brainct.compare.run_row import RunRow
from brainct.compare.selection import winner
from brainct.job.config import Plan, plan_of
from brainct.schemes import SCHEMES


@dataclass(frozen=True)
class PlannedRun:
    """One run to do. point: the grid point that it tries. levels: see Comparison."""

    entry: Entry
    point: Mapping[str, Any]
    federation: Federation
    seed: int
    budget: int
    plan: Plan
    levels: tuple[float, ...]

    @cached_property
    def key(self) -> str:
        """SHA-256 of all choices that determine the result; defaults do not enter, so that a new one changes no key."""
        defaults = SCHEMES[self.plan.scheme]().arguments
        arguments = {name: value for name, value in self.plan.arguments.items() if value != defaults.get(name)}
        plan = self.plan.model_dump(mode="json", exclude_defaults=True) | {"arguments": arguments}
        whole = {"plan": plan, "federation": self.federation.digest, "pooled": self.entry.pooled}
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()

    @cached_property
    def code(self) -> str:
        """SHA-256 of the modules that would compute it."""
        return code_of(self.plan, self.federation.on_disk)

    @property
    def work(self) -> float:
        """Its expected duration in arbitrary units."""
        return float(self.plan.rounds * self.federation.work)

    def __str__(self) -> str:
        grid = " ".join(f"{name}={value}" for name, value in self.point.items())
        words = [self.federation.label, self.entry.label, grid, f"seed {self.seed} budget {self.budget}"]
        return " ".join(filter(None, words))


FindRow = Callable[[PlannedRun], RunRow | None]
"""The row of a run that has ended, done or failed; None for one that has not."""


def planned_runs(comparison: Comparison, find_row: FindRow) -> list[PlannedRun]:
    """The runs of a comparison that are known so far: a grid's winner only once all of its tuning runs have ended.

    The lowest budget comes first, then the seeds in turn, so that early rows already compare all schemes. Runs of one
    federation and one seed are neighbours, so that its scans are opened once.
    """
    runs = [
        run
        for federation, entry, budget in itertools.product(
            comparison.federations, comparison.entries, comparison.budgets
        )
        for run in _runs_of_entry(comparison, federation, entry, budget, find_row)
    ]
    place = {federation.label: at for at, federation in enumerate(comparison.federations)}
    return sorted(runs, key=lambda run: (run.budget, comparison.seeds.index(run.seed), place[run.federation.label]))


def _runs_of_entry(
    comparison: Comparison, federation: Federation, entry: Entry, budget: int, find_row: FindRow
) -> Iterator[PlannedRun]:
    tuning = _tuning_runs(comparison, federation, entry)
    if budget == min(comparison.budgets):
        yield from tuning
    point = _point_to_run(entry, [find_row(run) for run in tuning])
    if point is not None:
        runs = [plan_run(comparison, federation, entry, point, seed, budget) for seed in comparison.seeds]
        yield from (run for run in runs if run.key not in {one.key for one in tuning})


def _tuning_runs(comparison: Comparison, federation: Federation, entry: Entry) -> list[PlannedRun]:
    """All points of a grid on the first seeds at the lowest budget; [] without a grid."""
    points, lowest = entry.points(), min(comparison.budgets)
    seeds = comparison.seeds[: comparison.tune_seeds] if len(points) > 1 else []
    return [plan_run(comparison, federation, entry, point, seed, lowest) for seed in seeds for point in points]


def _point_to_run(entry: Entry, tuning: list[RunRow | None]) -> Mapping[str, Any] | None:
    """The grid's winner; None until all tuning runs have ended, or if none has a validation score."""
    if not tuning:
        return entry.points()[0]
    ended = [row for row in tuning if row is not None]
    return winner(ended) if len(ended) == len(tuning) else None


def plan_run(
    comparison: Comparison,
    federation: Federation,
    entry: Entry,
    point: Mapping[str, Any],
    seed: int,
    budget: int,
) -> PlannedRun:
    """One run with its checked plan."""
    arguments = {name: value for name, value in point.items() if not name.startswith("fit.")}
    fit = {name.removeprefix("fit."): value for name, value in point.items() if name.startswith("fit.")}
    choices = {
        "scheme": entry.scheme,
        "arguments": {**entry.arguments, **arguments},
        "rounds": (entry.rounds or comparison.rounds) * budget + entry.extra_rounds,
        "seed": seed,
        **comparison.workload_choices(entry),
        "fit": {**comparison.fit, **entry.fit, **fit},
        "evaluate_every": comparison.evaluate_every * budget,
        **({"start_from": entry.start_from} if entry.start_from else {}),
    }
    plan = plan_of(choices, f"`{entry.label}`")
    return PlannedRun(entry, point, federation, seed, budget, plan, tuple(comparison.levels))

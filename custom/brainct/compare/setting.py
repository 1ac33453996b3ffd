"""One setting of a comparison, a federation at one budget, with the statistics that its tables and charts share."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from brainct.compare.comparison import BASELINE
from brainct.compare.measure import Measure
from brainct.compare.run_row import RunRow
from brainct.compare.selection import Groups, Place, select_rows
from brainct.compare.statistics import Difference, Mean, Value, difference_of, differences_to, mean_of

BOUNDS = ("alone", "pooled")
"""Entries that are bounds, not schemes: each site by itself, and all scans in one place."""

LEADERS = 5
"""Schemes that charts name, with the baseline."""


@dataclass(frozen=True)
class Setting:
    """One federation at one budget: the rows of each scheme, one a seed. number: on a page, from 1."""

    federation: str
    budget: int
    groups: Groups
    number: int = 1

    @property
    def title(self) -> str:
        """The setting in words."""
        return self.federation if self.budget == 1 else f"{self.federation}, {self.budget} times the rounds"

    @property
    def measure(self) -> Measure:
        """What its schemes are ranked by."""
        return next(rows[0].measure for rows in self.groups.values())

    @cached_property
    def means(self) -> dict[str, Mean]:
        """The mean score of each scheme and bound that has one: over sites, then over seeds."""
        found = {name: mean_of([row.mean() for row in rows]) for name, rows in self.groups.items()}
        return {name: mean for name, mean in found.items() if mean is not None}

    @cached_property
    def everyone(self) -> list[str]:
        """Schemes and bounds, the best first, those without a score last."""
        scored = sorted(self.means, key=lambda name: (-self.means[name].mean, name))
        return [*scored, *(name for name in self.groups if name not in self.means)]

    @cached_property
    def schemes(self) -> list[str]:
        """Schemes with a score, the best first; no bounds."""
        return [name for name in self.everyone if name in self.means and name not in BOUNDS]

    @cached_property
    def differences(self) -> dict[str, Difference]:
        """Each scheme's and bound's paired difference to the baseline, corrected for all of them."""
        return differences_to(BASELINE, self.groups)

    @cached_property
    def equal_bytes(self) -> tuple[list[float], dict[str, list[Mean | None]]]:
        """A quarter, half and all of the KiB that the baseline sends a site; each scheme's validation score at these.

        ([], {}) where the baseline or its traffic is unknown, or no run has a validation curve. Schemes of unknown
        traffic are left out.
        """
        whole = mean_of([row.kib_per_site for row in self.groups.get(BASELINE, [])])
        if whole is None or not any(row.validation for rows in self.groups.values() for row in rows):
            return [], {}
        budgets = [whole.mean / 4, whole.mean / 2, whole.mean]
        sending = [name for name in self.everyone if any(row.kib_per_site for row in self.groups[name])]
        return budgets, {
            name: [mean_of([score_at_bytes(row, kib) for row in self.groups[name]]) for kib in budgets]
            for name in sending
        }

    def leaders(self, most: int = LEADERS) -> list[str]:
        """The best schemes, and the baseline."""
        return [*self.schemes[:most], *(name for name in self.schemes[most:] if name == BASELINE)]

    def middle(self, name: str, value: Value) -> float | None:
        """The mean of a value over the seeds that have it."""
        found = mean_of([value(row) for row in self.groups.get(name, [])])
        return found.mean if found else None

    def score(self, name: str) -> float | None:
        """The mean score of a scheme or bound."""
        return self.means[name].mean if name in self.means else None

    def curve(self, name: str) -> list[tuple[int, float, float]]:
        """(round, KiB sent and received so far, validation score), means over the seeds that have the point."""
        found: dict[int, list[tuple[float, float]]] = {}
        for point in (point for row in self.groups[name] for point in row.validation):
            if point.score is not None:
                found.setdefault(point.round, []).append((point.kib, point.score))
        means = {at: [fmean(each) for each in zip(*found[at], strict=True)] for at in sorted(found)}
        return [(at, kib, score) for at, (kib, score) in means.items()]


def settings_of(rows: Sequence[RunRow]) -> list[Setting]:
    """The settings of a ledger in the order of their first rows; see `select_rows`."""
    selected: dict[Place, dict[str, list[RunRow]]] = select_rows(rows)
    return [Setting(*place, groups, number) for number, (place, groups) in enumerate(selected.items(), 1)]


def score_at_bytes(row: RunRow, kib: float) -> float | None:
    """The validation score at the last point of the curve that cost no more than this; None before the first."""
    within = [point.score for point in row.validation if point.kib <= kib]
    return within[-1] if within else None


@dataclass(frozen=True)
class Gain:
    """The gain of one scheme from the next larger budget, seed by seed."""

    setting: Setting
    name: str
    longer: int
    difference: Difference

    @property
    def verdict(self) -> str:
        """Whether the scheme had converged at the smaller budget; an interval that reaches 0 shows no gain."""
        interval = self.difference.interval
        if interval is None:
            return "unknown: one seed"
        return "no: it still gains" if interval[0] > 0 else "yes: no gain beyond chance"


def gains(settings: Sequence[Setting]) -> list[Gain]:
    """The gains from each budget to the next larger one of the same federation."""
    found = []
    for setting in settings:
        longer = _next_budget(setting, settings)
        for name, rows in setting.groups.items() if longer else ():
            assert longer is not None
            difference = difference_of(longer.groups.get(name, []), rows)
            if difference is not None:
                found.append(Gain(setting, name, longer.budget, difference))
    return found


def _next_budget(setting: Setting, settings: Sequence[Setting]) -> Setting | None:
    larger = [one for one in settings if one.federation == setting.federation and one.budget > setting.budget]
    return min(larger, key=lambda one: one.budget, default=None)

"""Means over seeds and paired differences to the baseline, with intervals and a corrected test; by scipy.

Seeds are the units: each has other scans, other weights and another order of batches, and all schemes share them, so
differences are taken seed by seed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from brainct.compare.ledger import Row

LEVEL = 0.95
RESAMPLES = 9999
Interval = tuple[float, float]
Value = Callable[[Row], float | None]


def interval(values: Sequence[float]) -> Interval | None:
    """A 95 % bootstrap interval of the mean over seeds; None for fewer than two values.

    scipy's percentile bootstrap at the expanded level of Hesterberg (What Teachers Should Know About the Bootstrap, The
    American Statistician 69:371, 2015): of n values the plain one is too narrow by sqrt((n-1)/n) and by z in place of
    t. Covers, of 1,000 sets of normal values, 92 % with 5 seeds and 96 % with 10 (the plain one 84 and 89 %); of
    exponential ones 88 % with either.
    """
    from scipy import stats

    count = len(values)
    if count < 2:
        return None
    quantile = stats.t.ppf((1 + LEVEL) / 2, count - 1)
    tail = float(stats.norm.cdf(-np.sqrt(count / (count - 1)) * quantile))
    found = stats.bootstrap(
        (np.asarray(values),),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=1 - 2 * tail,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def paired_p(differences: Sequence[float]) -> float | None:
    """Two-sided p that the differences of the seeds have mean 0; None for fewer than two.

    The sign-flip permutation test: under no difference each seed's could as well have the other sign. Exact up to 13
    seeds, by 9,999 draws beyond. Of n seeds the smallest p is 2/2^n: 5 seeds can't show anything at 5 %.
    """
    from scipy import stats

    if len(differences) < 2:
        return None
    found = stats.permutation_test(
        (np.asarray(differences),),
        lambda values, axis: np.mean(values, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's corrected p values, in the order given: the chance of a single false claim among all stays under p.

    S. Holm, Scandinavian Journal of Statistics 6:65, 1979. Not the false discovery rate: each claim is read alone.
    """
    order = np.argsort(p, kind="stable")
    steps = np.asarray(p)[order] * (len(p) - np.arange(len(p)))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return [float(value) for value in corrected]


@dataclass(frozen=True)
class Mean:
    """Of one value a seed: their mean, standard deviation (None of one value), interval and number."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return float(np.mean(self.values))

    @property
    def sd(self) -> float | None:
        """Between the seeds."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    @cached_property
    def interval(self) -> Interval | None:
        """Of the mean; see `interval`."""
        return interval(self.values)

    @property
    def seeds(self) -> int:
        """How many values there are."""
        return len(self.values)


@dataclass(frozen=True)
class Difference:
    """To the baseline, seed by seed: mean, interval, p of the paired test, p corrected for all schemes of the table."""

    mean: float
    interval: Interval | None
    p: float | None
    corrected: float | None
    seeds: int


def mean_of(values: Sequence[float | None]) -> Mean | None:
    """Of the values that are known; None if none is."""
    known = tuple(value for value in values if value is not None)
    return Mean(known) if known else None


def differences(rows: Sequence[Row], others: Sequence[Row], value: Value) -> list[float]:
    """value(row) - value(other) for each seed that both have, seeds in order."""
    found: list[float] = []
    second = {row.seed: value(row) for row in others}
    for row in sorted(rows, key=lambda row: row.seed):
        mine, theirs = value(row), second.get(row.seed)
        if mine is not None and theirs is not None:
            found.append(mine - theirs)
    return found


def compared(groups: Mapping[str, Sequence[Row]], baseline: str, value: Value = Row.mean) -> dict[str, Difference]:
    """Every other group's difference to the baseline's; Holm's correction is over all of them."""
    if baseline not in groups:
        return {}
    found = {}
    for name, rows in groups.items():
        if name != baseline and (gaps := differences(rows, groups[baseline], value)):
            found[name] = Difference(float(np.mean(gaps)), interval(gaps), paired_p(gaps), None, len(gaps))
    tested = {name: gap.p for name, gap in found.items() if gap.p is not None}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    return {name: replace(gap, corrected=corrected.get(name)) for name, gap in found.items()}


def winner(rows: Sequence[Row]) -> Mapping[str, object] | None:
    """Of a grid's tuning runs the point with the best mean validation AUROC, the lower Brier score at a tie.

    Points that lack a seed which another has (their run failed) can't win. None if no run has a validation score.
    """
    points: dict[str, list[Row]] = {}
    for row in rows:
        if row.status == "done" and row.valid_auroc is not None:
            points.setdefault(repr(sorted(row.grid.items())), []).append(row)
    most = max(map(len, points.values()), default=0)
    whole = [of for of in points.values() if len(of) == most]
    return max(whole, key=_validation)[0].grid if whole else None


def _validation(rows: Sequence[Row]) -> tuple[float, float]:
    auroc = np.mean([row.valid_auroc for row in rows if row.valid_auroc is not None])
    return float(auroc), -float(np.mean([row.valid_brier for row in rows if row.valid_brier is not None]))


Place = tuple[str, int]
"""A federation's name and a budget: one table."""


def reported(rows: Sequence[Row]) -> dict[Place, dict[str, list[Row]]]:
    """The runs that tables are made of: by federation and budget, then by name, one row a seed; only those done.

    Of a tuned scheme, the grid point that won on the validation folds; which, is decided at the lowest budget on the
    seeds that all points have, and while there is none with a validation score, the scheme is left out. Runs under one
    name whose other choices differ are never mixed: those of the latest row count (see `alike`).
    """
    found: dict[Place, dict[str, list[Row]]] = {}
    done = [row for row in alike(rows) if row.status == "done"]
    for federation, name in dict.fromkeys((row.federation, row.name) for row in done):
        mine = [row for row in done if (row.federation, row.name) == (federation, name)]
        best = _best(mine)
        if best is None:
            continue
        for budget in sorted({row.budget for row in mine}):
            chosen = {row.seed: row for row in mine if row.budget == budget and row.grid == best}
            if chosen:
                found.setdefault((federation, budget), {})[name] = [chosen[seed] for seed in sorted(chosen)]
    return found


def alike(rows: Sequence[Row]) -> list[Row]:
    """Rows whose choices, beside seed and grid, are those of the latest row of their name, federation and budget."""
    latest = {(row.federation, row.name, row.budget): _asked(row) for row in rows}
    return [row for row in rows if _asked(row) == latest[row.federation, row.name, row.budget]]


def _asked(row: Row) -> tuple[object, ...]:
    """What was run, without the seed and what a grid varies; a choice that is None is one that older rows lack."""
    varied = {name.removeprefix("fit.") for name in row.grid}
    fit = {name: value for name, value in row.plan.get("fit", {}).items() if name not in varied}
    arguments = {name: value for name, value in row.arguments.items() if name not in varied}
    rest = {name: value for name, value in row.plan.items() if name not in ("seed", "fit", "arguments")}
    choices = {name: value for name, value in row.choices.items() if value is not None}
    return row.way, rest, fit, arguments, choices


def _best(rows: Sequence[Row]) -> Mapping[str, object] | None:
    lowest = min(row.budget for row in rows)
    first = [row for row in rows if row.budget == lowest]
    grids = [row.grid for at, row in enumerate(first) if row.grid not in [one.grid for one in first[:at]]]
    if len(grids) == 1:
        return grids[0]
    common = set.intersection(*({row.seed for row in first if row.grid == grid} for grid in grids))
    return winner([row for row in first if row.seed in common])


def converged(rows: Sequence[Row], longer: Sequence[Row]) -> Difference | None:
    """What a larger budget gained in AUROC, seed by seed; an interval that reaches 0 or below: no gain was shown."""
    gaps = differences(longer, rows, Row.mean)
    return Difference(float(np.mean(gaps)), interval(gaps), paired_p(gaps), None, len(gaps)) if gaps else None


def gains(found: Mapping[Place, Mapping[str, Sequence[Row]]]) -> list[tuple[str, str, int, int, Difference]]:
    """What the next larger budget gave: federation, scheme, both budgets, gain."""
    told = []
    for (federation, budget), groups in found.items():
        longer = min((more for name, more in found if name == federation and more > budget), default=budget)
        for name, rows in groups.items() if longer > budget else ():
            if gain := converged(rows, found[federation, longer].get(name, [])):
                told.append((federation, name, budget, longer, gain))
    return told


def at_bytes(row: Row, kib: float) -> float | None:
    """Validation AUROC at the last point of the curve that cost no more than this; None before the first."""
    within = [point.auroc for point in row.validation if point.kib <= kib]
    return within[-1] if within else None


def at_equal_bytes(
    groups: Mapping[str, Sequence[Row]], baseline: str
) -> tuple[list[float], dict[str, list[Mean | None]]]:
    """A quarter, half and all of the KiB that the baseline sends a site; by scheme its validation AUROC at each.

    Nothing where the baseline, or what it sent, is not known, or where no run has a validation curve; schemes whose
    traffic is not known are left out.
    """
    whole = mean_of([row.kib_per_site for row in groups.get(baseline, [])])
    if whole is None or not any(row.validation for rows in groups.values() for row in rows):
        return [], {}
    budgets = [whole.mean / 4, whole.mean / 2, whole.mean]
    sending = {name: rows for name, rows in groups.items() if any(row.kib_per_site for row in rows)}
    return budgets, {
        name: [mean_of([at_bytes(row, kib) for row in rows]) for kib in budgets] for name, rows in sending.items()
    }

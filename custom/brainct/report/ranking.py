"""One setting of a ledger's page: its methods in the order of their mean test AUROC, and what is known of them."""

import statistics
from collections.abc import Callable, Mapping, Sequence

from brainct.compare.design import BASELINE
from brainct.compare.ledger import Row
from brainct.compare.statistics import Place
from brainct.report.ct_record import Bin, Confusion

BOUNDS = ("alone", "pooled")
"""Rows that are no methods: what a hospital reaches by itself, and what one place with all scans would."""

LEADERS = 5
"""Methods with curves of their own, beside the baseline."""

Groups = Mapping[str, Sequence[Row]]


def title(place: Place) -> str:
    """A setting in words."""
    federation, budget = place
    return federation if budget == 1 else f"{federation}, {budget} times the rounds"


def middle(rows: Sequence[Row], value: Callable[[Row], float | None] = Row.mean) -> float | None:
    """The mean over the seeds that have this value."""
    known = [number for row in rows if (number := value(row)) is not None]
    return statistics.fmean(known) if known else None


def ranked(groups: Groups) -> list[str]:
    """Methods with a score, the best first."""
    scored = {name: score for name, rows in groups.items() if (score := middle(rows)) is not None}
    return sorted((name for name in scored if name not in BOUNDS), key=lambda name: (-scored[name], name))


def leaders(groups: Groups, most: int = LEADERS) -> list[str]:
    """The best methods, and the baseline."""
    order = ranked(groups)
    return [*order[:most], *(name for name in order[most:] if name == BASELINE)]


def curve(rows: Sequence[Row]) -> list[tuple[int, float, float]]:
    """(round, KiB sent and received so far, validation AUROC), means over the seeds that have both."""
    found: dict[int, list[tuple[float, float]]] = {}
    for point in (point for row in rows for point in row.validation):
        if point.auroc is not None:
            found.setdefault(point.round, []).append((point.kib, point.auroc))
    means = {at: [statistics.fmean(each) for each in zip(*found[at], strict=True)] for at in sorted(found)}
    return [(at, kib, auroc) for at, (kib, auroc) in means.items()]


def bins(rows: Sequence[Row]) -> list[list[Bin]]:
    """Each run's calibration bins of `any` over all hospitals together."""
    found = ((row.pooled or {}).get("any", {}).get("calibration") or [] for row in rows)
    return [[Bin.model_validate(one) for one in each] for each in found]


def answers(rows: Sequence[Row]) -> Confusion | None:
    """Right and wrong answers on `any`, summed over hospitals and seeds."""
    given = [one.scores.get("confusion") for row in rows for one in row.sites.values()]
    known = [Confusion.model_validate(one) for one in given if one]
    return Confusion.of_all(known) if known else None

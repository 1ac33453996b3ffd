"""Calibration and right and wrong answers of several hospitals or runs, added up."""

from collections.abc import Sequence

from brainct.compare.run_row import RunRow
from brainct.report.readable_record import Bin, Confusion


def pool_bins(given: Sequence[Sequence[Bin]]) -> list[Bin]:
    """Several hospitals' reliability bins in tenths of their mean probability; tenths without a scan are left out."""
    found: dict[int, list[Bin]] = {}
    for one in (one for bins in given for one in bins if one.scans > 0 and one.mean_probability is not None):
        found.setdefault(min(9, int(10 * (one.mean_probability or 0.0))), []).append(one)
    return [_add_bins(tenth, found[tenth]) for tenth in sorted(found)]


def _add_bins(tenth: int, bins: Sequence[Bin]) -> Bin:
    scans, hits = sum(one.scans for one in bins), sum(one.positives for one in bins)
    total = sum((one.mean_probability or 0.0) * one.scans for one in bins)
    return Bin(low=tenth / 10, high=(tenth + 1) / 10, scans=scans, mean_probability=total / scans, positives=hits)


def reliability_points(bins: Sequence[Bin]) -> list[tuple[float, float, int]]:
    """(mean probability, share of positives, scans) of each bin."""
    return [(one.mean_probability or 0.0, one.positives / one.scans, one.scans) for one in bins]


def bins_of_runs(rows: Sequence[RunRow]) -> list[list[Bin]]:
    """Each run's calibration bins of `any` over all hospitals together."""
    found = ((row.pooled or {}).get("any", {}).get("calibration") or [] for row in rows)
    return [[Bin.model_validate(one) for one in each] for each in found]


def confusion_of_runs(rows: Sequence[RunRow]) -> Confusion | None:
    """Right and wrong answers on `any`, added over hospitals and seeds."""
    given = [one.scores.get("confusion") for row in rows for one in row.sites.values()]
    known = [Confusion.model_validate(one) for one in given if one]
    return Confusion.of_all(known) if known else None

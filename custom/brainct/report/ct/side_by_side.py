"""Head CT's part of a page of several runs: their AUROCs side by side."""

import statistics
from collections.abc import Mapping, Sequence

from brainct.pages.charts import Dot, Line, curves, dots, rows_high
from brainct.pages.drawing import picture
from brainct.pages.page import Section, Table
from brainct.pages.picture import Picture
from brainct.pages.scatter import scatter
from brainct.pages.wording import decimals
from brainct.report.readable_record import aurocs, everyone, mean_curve, traffic
from brainct.report.run_folder import RunFolder


def mean_scores(runs: Sequence[RunFolder]) -> Picture:
    """Dots and ranges over the hospitals, a row for each run."""
    rows = []
    for run in runs:
        values = list(aurocs(run.record).values())
        ends = (min(values), max(values)) if values else None
        rows.append(Dot(run.label, statistics.fmean(values) if values else None, ends, "not tested"))
    spoken = "; ".join(f"{row.label} {decimals(row.value)}" for row in rows)
    return picture(
        "auroc-by-run",
        f"Dot plot of the mean test AUROC over hospitals by run: {spoken}.",
        "AUROC of any bleeding: mean over hospitals; the line reaches from the lowest hospital to the highest.",
        dots(rows, "AUROC of any bleeding, test scans", {"chance": 0.5}),
        rows_high(len(rows), 1.0),
    )


def score_columns(run: RunFolder) -> Mapping[str, str]:
    """The columns of the overview that state scores."""
    found = list(aurocs(run.record).values())
    return {
        "mean AUROC": decimals(statistics.fmean(found) if found else None),
        "lowest": decimals(min(found, default=None)),
        "spread": decimals(max(found) - min(found) if found else None),
    }


def sections(runs: Sequence[RunFolder]) -> list[Section]:
    """The sections on scores: by hospital, over the rounds, against traffic."""
    found = (_by_hospital(runs), _learning(runs), _traffic(runs))
    return [section for section in found if section is not None]


def _by_hospital(runs: Sequence[RunFolder]) -> Section | None:
    sites = sorted({site for run in runs for site in everyone(run.record)})
    if not sites:
        return None
    scores = [aurocs(run.record) for run in runs]
    rows = [(site, *(decimals(found.get(site)) for found in scores)) for site in sites]
    head = ("hospital", *(run.label for run in runs))
    return Section("Hospital by hospital", tables=[Table("AUROC of any bleeding, test scans", head, rows)])


def _learning(runs: Sequence[RunFolder]) -> Section | None:
    lines = [Line(run.label, points, True) for run in runs if (points := mean_curve(run.record))]
    if not lines:
        return None
    spoken = "; ".join(f"{line.label} ends at {decimals(line.points[-1][1])}" for line in lines)
    drawn = picture(
        "validation-auroc",
        f"Mean validation AUROC over the rounds, a line a run: {spoken}.",
        "Validation AUROC of any bleeding, mean over hospitals.",
        curves(lines, "rounds closed", "validation AUROC"),
        3.0,
    )
    return Section("While they learned", pictures=[drawn])


def _traffic(runs: Sequence[RunFolder]) -> Section | None:
    points = [
        (run.label, sum(traffic(run.record)) / 2**20, statistics.fmean(found.values()))
        for run in runs
        if (found := aurocs(run.record)) and sum(traffic(run.record))
    ]
    if not points:
        return None
    spoken = "; ".join(f"{label} {value:.2f} at {mib:.1f} MiB" for label, mib, value in points)
    drawn = picture(
        "traffic",
        f"Scatter plot of mean AUROC against traffic by run: {spoken}.",
        "Up and to the left is better.",
        scatter(points, "MiB in all", "mean AUROC", log=True),
        3.0,
    )
    return Section("Accuracy and traffic", pictures=[drawn])

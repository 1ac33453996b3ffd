"""Pictures of a head CT run's scores: by hospital, by finding, and over the rounds."""

from collections.abc import Sequence

from brainct.pages.charts import MOST_ROWS, Dot, Line, curves, dots, rows_high
from brainct.pages.drawing import picture
from brainct.pages.picture import Picture
from brainct.pages.wording import decimals
from brainct.report.ct.definitions import ANY, finding_in_words
from brainct.report.readable_record import Record, aurocs, findings_of, mean, mean_curve, scores_of

LOWEST = 0.45
"""Left end of an AUROC axis, unless a value is lower."""


def by_hospital(record: Record) -> Picture:
    """Dots and whiskers, the lowest hospital on top, those without a score last."""
    tested = scores_of(record)
    order = sorted(tested, key=lambda site: (tested[site].auroc is None, tested[site].auroc or 0.0, site))
    rows = [Dot(site, tested[site].auroc, tested[site].auroc_interval, tested[site].reason or "") for site in order]
    middle = mean(list(aurocs(record).values()))
    lines = {"chance": 0.5} | ({"mean over hospitals": middle} if middle is not None else {})
    whiskers = "whiskers: 95 % interval" if any(row.interval for row in rows) else "the record holds no intervals"
    shown = rows[:MOST_ROWS]
    spoken = "; ".join(f"{row.label} {decimals(row.value) if row.value is not None else row.note}" for row in shown)
    cut = f" The {len(shown)} lowest of {len(rows)} hospitals." if len(rows) > len(shown) else ""
    return picture(
        "auroc-by-hospital",
        f"Dot plot of the test AUROC of any bleeding by hospital, lowest first: {spoken}.",
        f"How well the model separates scans with a bleeding from scans without, at each hospital ({whiskers}).{cut}",
        dots(rows, "AUROC of any bleeding, test scans", lines, (_left_end(rows), 1.02)),
        rows_high(len(rows), 1.0),
    )


def _left_end(rows: Sequence[Dot]) -> float:
    ends = [end for row in rows if row.value is not None for end in (row.value, *(row.interval or ()))]
    return min(LOWEST, *(end - 0.03 for end in ends)) if ends else LOWEST


def by_finding(record: Record) -> Picture:
    """Dots and ranges over the hospitals, a row for each finding."""
    found = {name: list(aurocs(record, name).values()) for name in findings_of(record)}
    rows = [
        Dot(
            finding_in_words(name),
            mean(values),
            (min(values), max(values)) if values else None,
            "no hospital has both classes",
        )
        for name, values in found.items()
    ]
    spoken = "; ".join(f"{row.label} {decimals(row.value)}" for row in rows)
    return picture(
        "auroc-by-finding",
        f"Dot plot of the mean test AUROC over hospitals by finding: {spoken}.",
        "By kind of bleeding: mean over the hospitals whose test scans have both classes; the line reaches from the "
        "lowest hospital to the highest.",
        dots(rows, "AUROC, test scans", {"chance": 0.5}, (_left_end(rows), 1.02)),
        rows_high(len(rows), 1.0),
    )


def validation_curve(record: Record) -> Picture | None:
    """The validation AUROC over the rounds; None for a run without evaluations."""
    means = mean_curve(record)
    if not means:
        return None
    by_site = {
        site: [
            (row.round + 1.0, row.validation[site][ANY].auroc)
            for row in record.rounds
            if ANY in row.validation.get(site, {})
        ]
        for site in sorted(record.sites)
    }
    ends = f"{decimals(means[0][1])} after round {means[0][0]:.0f}, {decimals(means[-1][1])} after {means[-1][0]:.0f}"
    lines = [Line(site, points) for site, points in by_site.items()]
    return picture(
        "validation-auroc",
        f"Validation AUROC over the rounds, one thin line a hospital; the mean over hospitals is {ends}.",
        "Validation AUROC of any bleeding. Thin lines: hospitals. Thick: their mean.",
        curves([*lines, Line("mean over hospitals", means, True)], "rounds closed", "validation AUROC"),
    )

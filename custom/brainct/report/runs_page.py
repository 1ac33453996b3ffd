"""The page of several runs, side by side."""

import statistics
from collections.abc import Sequence
from dataclasses import replace

from brainct.pages.charts import Dot, Line, curves, dots, rows_high
from brainct.pages.drawing import picture
from brainct.pages.page import Page, Section, Table
from brainct.pages.picture import Picture
from brainct.pages.scatter import scatter
from brainct.report import wording
from brainct.report.run_folder import RunFolder, aurocs, everyone, mean_curve, network, seconds_of, traffic
from brainct.report.run_page import how_good, warnings
from brainct.report.wording import counted, decimals, listing


def runs_page(runs: Sequence[RunFolder]) -> Page:
    """What differs between runs: each is called by a letter and its scheme."""
    runs = [replace(run, label=f"{chr(65 + at)}: {run.label}") for at, run in enumerate(runs)]
    parts = [_overview(runs), _by_hospital(runs), _learning(runs), _traffic(runs)]
    return Page(
        title=f"{len(runs)} runs side by side",
        subtitle=listing([run.label for run in runs]),
        warnings=_warnings(runs),
        answers=[
            ("What is compared?", [_what(run) for run in runs]),
            ("Were the scans the same?", [_same_scans(runs)]),
            *((f"How good is {run.label}?", how_good(run.record)) for run in runs),
            ("How sure is the difference?", [_CAUTION]),
        ],
        first=Section("In short", pictures=_means(runs)),
        sections=[*(part for part in parts if part is not None), Section("Definitions", terms=wording.DEFINITIONS)],
        footer=f"Made from the runs' record.json by brainct. {wording.NOT_A_DEVICE}",
    )


_CAUTION = (
    "One run each: another seed alone can move these numbers as far. A claim needs several seeds, the same scans and "
    "paired differences: run `brainct compare` and report its ledger."
)


def _warnings(runs: Sequence[RunFolder]) -> list[str]:
    of: dict[str, list[str]] = {}
    for run in runs:
        for warning in warnings(run):
            of.setdefault(warning, []).append(run.label)
    return [f"{'All runs' if len(of[one]) == len(runs) else listing(of[one])}: {one}" for one in of]


def _what(run: RunFolder) -> str:
    record = run.record
    if not run.recorded:
        return f"{run.label}: closed no round."
    return (
        f"{run.label}: {counted(len(run.sites), 'hospital')}, {counted(len(record.rounds), 'round')}, "
        f"{network(record) or 'network unknown'}."
    )


def _same_scans(runs: Sequence[RunFolder]) -> str:
    seen = {tuple((site, run.record.sites[site].fingerprint) for site in run.sites) for run in runs if run.recorded}
    if len(seen) == 1:
        return "Yes: the same hospitals, and every hospital's fingerprint is the same in all runs."
    return "No: hospitals or their scans differ between the runs, so differences in scores mean little."


def _means(runs: Sequence[RunFolder]) -> list[Picture]:
    found = {run.label: list(aurocs(run.record).values()) for run in runs}
    rows = [
        Dot(label, statistics.fmean(values), (min(values), max(values)))
        if values
        else Dot(label, None, None, "not tested")
        for label, values in found.items()
    ]
    spoken = "; ".join(f"{row.label} {decimals(row.value)}" for row in rows)
    return [
        picture(
            "auroc-by-run",
            f"Dot plot of the mean test AUROC over hospitals by run: {spoken}.",
            "AUROC of any bleeding: mean over hospitals; the line reaches from the lowest hospital to the highest.",
            dots(rows, "AUROC of any bleeding, test scans", {"chance": 0.5}),
            rows_high(len(rows), 1.0),
        )
    ]


def _overview(runs: Sequence[RunFolder]) -> Section:
    rows = []
    for run in runs:
        record, found = run.record, aurocs(run.record)
        down, up = traffic(record)
        missed = sum(len(row.lost) for row in record.rounds)
        rows.append(
            (
                run.label,
                len(run.sites),
                len(record.rounds),
                decimals(statistics.fmean(found.values()) if found else None),
                decimals(min(found.values(), default=None)),
                decimals(max(found.values()) - min(found.values()) if found else None),
                missed,
                wording.size(down + up),
                wording.duration(seconds_of(record)),
                record.model_sha256[:12] or "–",
            )
        )
    head = ("run", "hospitals", "rounds", "mean AUROC", "lowest", "spread", "answers lost", "traffic", "time in rounds",
            "model SHA-256")  # fmt: skip
    return Section("Side by side", tables=[Table("Any bleeding, test scans", head, rows)])


def _by_hospital(runs: Sequence[RunFolder]) -> Section | None:
    sites = sorted({site for run in runs for site in everyone(run.record)})
    if not sites:
        return None
    scores = [aurocs(run.record) for run in runs]
    rows = [(site, *(decimals(found.get(site)) for found in scores)) for site in sites]
    return Section(
        "Hospital by hospital",
        tables=[Table("AUROC of any bleeding, test scans", ("hospital", *(run.label for run in runs)), rows)],
    )


def _learning(runs: Sequence[RunFolder]) -> Section | None:
    lines = [Line(run.label, points, True) for run in runs if (points := mean_curve(run.record))]
    if not lines:
        return None
    spoken = "; ".join(f"{line.label} ends at {decimals(line.points[-1][1])}" for line in lines)
    return Section(
        "While they learned",
        pictures=[
            picture(
                "validation-auroc",
                f"Mean validation AUROC over the rounds, a line a run: {spoken}.",
                "Validation AUROC of any bleeding, mean over hospitals.",
                curves(lines, "rounds closed", "validation AUROC"),
                3.0,
            )
        ],
    )


def _traffic(runs: Sequence[RunFolder]) -> Section | None:
    points = [
        (run.label, sum(traffic(run.record)) / 2**20, statistics.fmean(found.values()))
        for run in runs
        if (found := aurocs(run.record)) and sum(traffic(run.record))
    ]
    if not points:
        return None
    spoken = "; ".join(f"{label} {value:.2f} at {size:.1f} MiB" for label, size, value in points)
    return Section(
        "Accuracy and traffic",
        pictures=[
            picture(
                "traffic",
                f"Scatter of mean AUROC against traffic by run: {spoken}.",
                "Up and to the left is better.",
                scatter(points, "MiB in all", "mean AUROC", log=True),
                3.0,
            )
        ],
    )

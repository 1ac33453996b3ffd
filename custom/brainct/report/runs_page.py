"""The page of several runs, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from brainct.pages.page import Page, Section, Table
from brainct.pages.wording import counted, duration, listing, size
from brainct.report import definitions
from brainct.report.ct import side_by_side
from brainct.report.readable_record import network, seconds_of, traffic
from brainct.report.run_folder import RunFolder
from brainct.report.run_page import warnings
from brainct.report.workload_part import part_of, workload_of

CAUTION = (
    "One run each: another seed alone can change these numbers as much. A claim needs several seeds, the same data and "
    "paired differences: run `brainct compare` and report its ledger."
)


def runs_page(runs: Sequence[RunFolder]) -> Page:
    """The differences between runs; each has a letter and its scheme as its name."""
    runs = [replace(run, label=f"{chr(65 + at)}: {run.label}") for at, run in enumerate(runs)]
    ct = all(workload_of(run) == "ct" for run in runs)
    parts = [part_of(run) for run in runs]
    terms = {term: text for part in parts for term, text in part.terms().items()}
    return Page(
        title=f"{len(runs)} runs side by side",
        subtitle=listing([run.label for run in runs]),
        warnings=_warnings(runs),
        answers=[
            ("What is compared?", [_run_in_words(run) for run in runs]),
            ("Were the data the same?", [_same_data(runs)]),
            *((f"How good is {run.label}?", part.how_good()) for run, part in zip(runs, parts, strict=True)),
            ("How sure is the difference?", [CAUTION]),
        ],
        first=Section("In short", pictures=[side_by_side.mean_scores(runs)] if ct else []),
        sections=[
            _overview(runs, [side_by_side.score_columns(run) if ct else {} for run in runs]),
            *(side_by_side.sections(runs) if ct else [_no_scores()]),
            Section("Definitions", terms=terms | definitions.RUN),
        ],
        footer=f"Made from the runs' record.json by brainct. {definitions.NOT_A_DEVICE}",
    )


def _no_scores() -> Section:
    return Section("Scores", ["Scores are shown side by side only if all runs are of head CT; see each record.json."])


def _warnings(runs: Sequence[RunFolder]) -> list[str]:
    labels: dict[str, list[str]] = {}
    for run in runs:
        for warning in warnings(run):
            labels.setdefault(warning, []).append(run.label)
    return [f"{'All runs' if len(named) == len(runs) else listing(named)}: {one}" for one, named in labels.items()]


def _run_in_words(run: RunFolder) -> str:
    record = run.record
    if not run.recorded:
        return f"{run.label}: closed no round."
    return (
        f"{run.label}: {counted(len(run.sites), 'hospital')}, {counted(len(record.rounds), 'round')}, "
        f"{network(record) or 'network unknown'}."
    )


def _same_data(runs: Sequence[RunFolder]) -> str:
    found = {tuple((site, run.record.sites[site].fingerprint) for site in run.sites) for run in runs if run.recorded}
    if len(found) == 1:
        return "Yes: the same hospitals, and every hospital's fingerprint is the same in all runs."
    return "No: hospitals or their data differ between the runs, so differences in scores mean little."


def _overview(runs: Sequence[RunFolder], scores: Sequence[Mapping[str, str]]) -> Section:
    rows: list[tuple[str | int, ...]] = [
        (
            run.label,
            len(run.sites),
            len(run.record.rounds),
            *columns.values(),
            sum(len(row.lost) for row in run.record.rounds),
            size(sum(traffic(run.record))),
            duration(seconds_of(run.record)),
            run.record.model_sha256[:12] or "–",
        )
        for run, columns in zip(runs, scores, strict=True)
    ]
    head = (
        "run", "hospitals", "rounds", *scores[0], "replies lost", "traffic", "time in rounds", "model SHA-256"
    )  # fmt: skip
    return Section("Side by side", tables=[Table("The runs, with their scores on test data", head, rows)])

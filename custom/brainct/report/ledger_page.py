"""The page of a ledger: which scheme is better than the baseline, by how much, how sure, at what price, for whom."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from brainct.compare import leaderboard
from brainct.compare.comparison import BASELINE
from brainct.compare.ledger import unique_runs
from brainct.compare.measure import MEASURES
from brainct.compare.run_row import RunRow
from brainct.compare.setting import Setting, settings_of
from brainct.ct.metrics import THRESHOLD
from brainct.pages.page import Page, Section, Table
from brainct.pages.wording import counted, decimals, percent
from brainct.report import definitions
from brainct.report.comparison_terms import comparison_terms
from brainct.report.ct.definitions import PHANTOM, SCORES
from brainct.report.ct.pooling import confusion_of_runs
from brainct.report.ledger_answers import answer, schemes_of
from brainct.report.ledger_charts import ANSWERS, calibration, confusion, learning, prices, standings

MOST_PLACES = 4
"""Settings with pictures of their own; the overview has all."""

MOST_ROWS = 60
"""Rows of a table."""


def ledger_page(rows: Sequence[RunRow], name: str) -> Page:
    """The page of a ledger's rows; its size does not grow with the number of runs. name: the ledger's file name.

    Rows that others wrote must be read with `prepare=cleaned`; see compare.ledger.read_rows.
    """
    rows = unique_runs(rows)
    settings = settings_of(rows)
    shown = settings[:MOST_PLACES]
    return Page(
        title=f"{counted(len(schemes_of(settings)), 'scheme')} compared",
        subtitle=f"{counted(len(rows), 'run')} in “{name}”",
        warnings=_warnings(rows),
        answers=answer(settings),
        first=Section("In short", pictures=standings(shown[0]) if shown else []),
        sections=[
            *([_overview(settings)] if settings else []),
            *(section for setting in shown for section in _setting(setting)),
            _larger_budgets(settings),
            *_failures(rows),
            Section("About these runs", notes=leaderboard.notes(rows, settings)),
            Section("Definitions", terms=_terms(settings)),
        ],
        footer=f"Made from {name} by brainct. {definitions.NOT_A_DEVICE}",
    )


def _terms(settings: Sequence[Setting]) -> dict[str, str]:
    head_ct = any(one.measure == MEASURES["ct"] for one in settings)
    return comparison_terms(leaderboard.titles(settings)) | (SCORES if head_ct else {}) | definitions.RUN


def _warnings(rows: Sequence[RunRow]) -> list[str]:
    failed = sum(row.status == "failed" for row in rows)
    warnings = [] if rows else ["The ledger holds no run."]
    if failed:
        warnings.append(
            f"{counted(failed, 'run')} of {len(rows)} failed and are left out of every number; see Failures."
        )
    if rows and all(row.choices.get("data") == "phantom" for row in rows):
        warnings.append(PHANTOM)
    if len({row.code for row in rows if row.status == "done"}) > len({row.scheme for row in rows}):
        warnings.append("The runs come from several versions of the software; see the ledger's `code`.")
    return warnings


def _overview(settings: Sequence[Setting]) -> Section:
    table = leaderboard.overview(settings)
    left_out = len(settings) - MOST_ROWS
    notes = [f"{left_out} more settings are in the ledger only."] if left_out > 0 else []
    notes += [f"Pictures and tables follow for the first {MOST_PLACES}."] if len(settings) > MOST_PLACES else []
    return Section("All settings", tables=[_cut(table)], notes=notes)


def _cut(table: Table) -> Table:
    return replace(table, rows=table.rows[:MOST_ROWS])


def _setting(setting: Setting) -> list[Section]:
    pictures = [] if setting.number == 1 else standings(setting)
    learned = _learning(setting)
    note = "The ledger holds no validation scores: no curves, no scores at equal bytes."
    first = Section(
        f"Setting: {setting.title}",
        tables=[_cut(leaderboard.leaderboard(setting))],
        pictures=[*pictures, *prices(setting)],
        notes=[] if learned else [note],
    )
    return [first, *learned, *_answers(setting)]


def _learning(setting: Setting) -> list[Section]:
    pictures = learning(setting)
    if not pictures:
        return []
    table = leaderboard.equal_bytes(setting)
    return [
        Section(f"Learning and bytes: {setting.title}", tables=[_cut(table)] if table else [], pictures=pictures),
    ]


def _answers(setting: Setting) -> list[Section]:
    pictures = [one for one in (calibration(setting), confusion(setting)) if one is not None]
    if not pictures:
        return []
    head = ("scheme", *ANSWERS, "sensitivity", "specificity")
    rows = [
        (name, given.tp, given.fn, given.fp, given.tn, _share(given.tp, given.fn), _share(given.tn, given.fp))
        for name in setting.leaders()
        if (given := confusion_of_runs(setting.groups[name])) is not None
    ]
    return [
        Section(
            f"Right and wrong answers: {setting.title}",
            [f"A probability of {percent(THRESHOLD)} or more counts as “{setting.measure.positive}”."],
            [Table(f"Answers of all hospitals and seeds; the best schemes and {BASELINE}", head, rows)],
            pictures,
        )
    ]


def _share(right: int, wrong: int) -> str:
    return decimals(right / (right + wrong)) if right + wrong else "–"


def _larger_budgets(settings: Sequence[Setting]) -> Section:
    found = leaderboard.larger_budgets(settings)
    if found is None:
        text = "Each scheme ran with one number of rounds only, so this is unknown: a slower scheme may still improve."
        return Section("What more rounds gain", [text])
    [table] = found.tables
    left_out = len(table.rows) - MOST_ROWS
    notes = [f"{left_out} further rows are left out."] if left_out > 0 else []
    return replace(found, tables=[_cut(table)], notes=notes)


def _failures(rows: Sequence[RunRow]) -> list[Section]:
    reasons = Counter((row.name, row.error or "no reason") for row in rows if row.status == "failed")
    lines = [(name, count, reason) for (name, reason), count in reasons.most_common(30)]
    table = Table("The most common reasons", ("scheme", "runs", "reason"), lines)
    return [Section("Failures", tables=[table])] if lines else []

"""The tables and sentences of a comparison, as plain data: the Markdown file and the HTML page render the same ones."""

from collections.abc import Sequence
from functools import partial

from brainct.compare.comparison import BASELINE
from brainct.compare.measure import Measure
from brainct.compare.run_row import RunRow
from brainct.compare.selection import same_choices
from brainct.compare.setting import BOUNDS, Setting, gains
from brainct.compare.statistics import Difference, Interval, Mean, Value
from brainct.errors import one_line
from brainct.pages.page import Section, Table
from brainct.pages.wording import counted, decimals, size

SURE = 0.05
"""The corrected p below which a difference is beyond chance."""


def _head(measure: Measure) -> tuple[str, ...]:
    return (
        "scheme",
        "seeds",
        f"{measure.title} ± SD, 95 % interval",
        f"minus {BASELINE}, 95 % interval",
        "p, Holm",
        "worst to best hospital",
        "held-out hospital",
        *measure.others,
        "KiB a hospital",
        "CPU s",
    )


def leaderboard(setting: Setting) -> Table:
    """All schemes and bounds of a setting, the best first."""
    caption = f"Means over hospitals, then over seeds; {' and '.join(BOUNDS)} are bounds, not schemes"
    return Table(caption, _head(setting.measure), [_line(setting, name) for name in setting.everyone])


def _line(setting: Setting, name: str) -> tuple[str | int, ...]:
    rows, gap = setting.groups[name], setting.differences.get(name)

    def middle(value: Value, places: int = 3) -> str:
        return decimals(setting.middle(name, value), places)

    return (
        f"{name}{_grid_point(rows[0])}",
        len(rows),
        _mean(setting.means.get(name), interval=True),
        _difference(gap) if gap else "",
        f"{gap.corrected:.3f}" if gap and gap.corrected is not None else "",
        f"{middle(RunRow.worst)}–{middle(RunRow.best)}" if name in setting.means else "–",
        middle(RunRow.held_out),
        *(middle(partial(RunRow.mean, score=other)) for other in setting.measure.others.values()),
        _whole(setting.middle(name, lambda row: row.kib_per_site)),
        _whole(setting.middle(name, lambda row: row.times.cpu)),
    )


def _grid_point(row: RunRow) -> str:
    return "".join(f" {key}={value}" for key, value in row.grid.items())


def _mean(mean: Mean | None, interval: bool = False) -> str:
    if mean is None:
        return "–"
    sd = f" ± {mean.sd:.3f}" if mean.sd is not None else ""
    return f"{mean.mean:.3f}{sd}{_ends(mean.interval) if interval else ''}"


def _difference(gap: Difference) -> str:
    return f"{gap.mean:+.3f}{_ends(gap.interval, '+.3f')}"


def _ends(interval: Interval | None, form: str = ".3f") -> str:
    return "" if interval is None else f" [{interval[0]:{form}}, {interval[1]:{form}}]"


def _whole(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def equal_bytes(setting: Setting) -> Table | None:
    """The validation scores when each scheme has sent a quarter, half and all of what the baseline sends."""
    budgets, found = setting.equal_bytes
    if not budgets:
        return None
    head = ("scheme", *(f"{size(1024 * kib)} a hospital" for kib in budgets))
    caption = (
        f"Validation {setting.measure.title} at equal bytes: a quarter, half and all of the traffic of {BASELINE}; "
        "mean over hospitals, then over seeds, ± SD over seeds; a dash: not evaluated by then"
    )
    return Table(caption, head, [(name, *map(_mean, means)) for name, means in found.items()])


def overview(settings: Sequence[Setting]) -> Table:
    """One line a setting."""
    title = titles(settings)
    head = ("setting", "schemes", f"best, mean {title}", BASELINE, *BOUNDS, "differences beyond chance")
    rows: list[tuple[str | int, ...]] = [
        (
            one.title,
            len(one.schemes),
            f"{one.schemes[0]} {decimals(one.score(one.schemes[0]))}" if one.schemes else "–",
            *(decimals(one.score(name)) for name in (BASELINE, *BOUNDS)),
            len(beyond_chance(one)),
        )
        for one in settings
    ]
    return Table(f"Mean {title}, test data", head, rows)


def titles(settings: Sequence[Setting]) -> str:
    """The name of the score; of several workloads all names."""
    return " or ".join(dict.fromkeys(one.measure.title for one in settings)) or "score"


def beyond_chance(setting: Setting) -> dict[str, Difference]:
    """The differences of a setting whose corrected p is below SURE."""
    return {
        name: gap for name, gap in setting.differences.items() if gap.corrected is not None and gap.corrected < SURE
    }


def larger_budgets(settings: Sequence[Setting]) -> Section | None:
    """The gain of each scheme from more rounds; None for a single budget."""
    found = gains(settings)
    if not found:
        return None
    still = sum(gain.verdict.startswith("no") for gain in found)
    head = ("scheme, federation", "rounds, in multiples", f"gain in {titles(settings)}, 95 % interval", "converged")
    rows = [
        (
            f"{gain.name}, {gain.setting.federation}",
            f"{gain.setting.budget} to {gain.longer}",
            _difference(gain.difference),
            gain.verdict,
        )
        for gain in found
    ]
    text = (
        f"With more rounds {still} of {len(found)} still gained beyond chance. Compare these schemes at the larger "
        "budget."
    )
    return Section("What more rounds gain", [text], [Table("The same seeds at both budgets", head, rows)])


def notes(rows: Sequence[RunRow], settings: Sequence[Setting]) -> list[str]:
    """How many runs the tables are made of, and which runs they leave out, and why."""
    failed = sum(row.status == "failed" for row in rows)
    ignored = len(rows) - len(same_choices(rows))
    shown = {(setting.federation, name) for setting in settings for name in setting.groups}
    done = [row for row in rows if row.status == "done"]
    untuned = sorted({(row.federation, row.name) for row in done} - shown)
    sentences = [f"{counted(len(rows), 'run')}, {failed} of them failed; failed runs are in no number."]
    sentences += [
        f"{one_line(name)} on {one_line(federation)}: no point of its grid can be chosen yet."
        for federation, name in untuned
    ]
    if ignored:
        sentences.append(f"{counted(ignored, 'row')} left out: later rows of the same name have other choices.")
    if mixed := _mixed_code(rows):
        sentences.append(f"Rows of several versions of the code: {', '.join(map(one_line, mixed))}.")
    return sentences


def _mixed_code(rows: Sequence[RunRow]) -> list[str]:
    codes: dict[str, set[str]] = {}
    for row in rows:
        codes.setdefault(row.name, set()).add(row.code)
    return sorted(name for name, found in codes.items() if len(found) > 1)


def reading(settings: Sequence[Setting]) -> str:
    """How to read the tables."""
    scores = "; ".join(dict.fromkeys(one.measure.reading for one in settings))
    return (
        f"{scores or 'Scores'} on the test data: means over hospitals, then over seeds. Differences are taken seed by "
        "seed; in brackets their 95 % bootstrap interval over seeds. p is that of the sign-flip test, corrected by "
        "Holm for all schemes of one table. The held-out hospital takes no part in training. Tuned arguments were "
        "chosen on validation data."
    )

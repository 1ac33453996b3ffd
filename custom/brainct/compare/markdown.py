"""The comparison as tables in Markdown, read from the ledger alone."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from brainct.compare.design import BASELINE
from brainct.compare.ledger import Row, once
from brainct.compare.statistics import (
    Difference,
    Mean,
    Place,
    alike,
    at_equal_bytes,
    compared,
    gains,
    mean_of,
    reported,
)
from brainct.core import serialization
from brainct.ct.read.label_table import cell
from brainct.errors import one_line

TABLE = "table.md"
HEAD = (
    "scheme",
    "seeds",
    "AUROC, mean site ± sd",
    f"minus `{BASELINE}`, same seeds",
    "p, Holm",
    "worst to best site",
    "unseen hospital",
    "Brier",
    "ECE",
    "KiB a site",
    "CPU s",
)
Groups = Mapping[str, Sequence[Row]]


def write(rows: Sequence[Row], folder: Path) -> str:
    """Write table.md below this folder and return its text."""
    text = tables(rows)
    serialization.write(folder / TABLE, text.encode())
    return text


def tables(rows: Sequence[Row]) -> str:
    """All tables of these rows: each federation and budget, then equal bytes, then what a larger budget gave."""
    rows = once(rows)
    found = reported(rows)
    parts = [_table(place, groups) for place, groups in found.items()]
    parts += [text for place, groups in found.items() if (text := _equal_bytes(place, groups))]
    parts += [_convergence(found)] if len({budget for _, budget in found}) > 1 else []
    return "\n\n".join([*parts, _notes(rows)]) + "\n"


def unseen(row: Row) -> float | None:
    """AUROC of `any` at the hospital outside."""
    value = (row.unseen or {}).get("any", {}).get("auroc")
    return None if value is None else float(value)


def _table(place: Place, groups: Groups) -> str:
    gaps = compared(groups, BASELINE)
    order = sorted(groups, key=lambda name: -_middle(groups[name], Row.mean))
    lines = [_line(name, groups[name], gaps.get(name)) for name in order]
    return "\n".join([f"## {_title(place)}", "", *markdown(HEAD, lines)])


def _line(name: str, rows: Sequence[Row], gap: Difference | None) -> list[str]:
    return [
        f"`{_word(name)}`{_tuned(rows)}",
        str(len(rows)),
        _plus_minus(mean_of([row.mean() for row in rows])),
        _gap(gap),
        f"{gap.corrected:.3f}" if gap and gap.corrected is not None else "",
        " to ".join(_short(mean_of([value(row) for row in rows])) for value in (Row.worst, Row.best)),
        _short(mean_of([unseen(row) for row in rows])),
        *(_short(mean_of([row.mean(score) for row in rows])) for score in ("brier", "ece")),
        _short(mean_of([row.kib_per_site for row in rows]), 0),
        _short(mean_of([row.times.cpu for row in rows]), 0),
    ]


def _equal_bytes(place: Place, groups: Groups) -> str:
    """Validation AUROC where each scheme has sent a quarter, half and all of what the baseline sends."""
    budgets, found = at_equal_bytes(groups, BASELINE)
    if not budgets:
        return ""
    head = ["scheme", *(f"{kib:,.0f} KiB a site" for kib in budgets)]
    lines = [[f"`{_word(name)}`", *map(_plus_minus, means)] for name, means in found.items()]
    return "\n".join([f"## {_title(place)}: validation AUROC at equal bytes", "", *markdown(head, lines)])


def _convergence(found: Mapping[Place, Groups]) -> str:
    """What more rounds gave, for each scheme."""
    head = ["federation", "scheme", "budgets", "gain in AUROC, same seeds", "converged"]
    lines = [
        [_word(federation), f"`{_word(name)}`", f"{budget} to {longer}", _gap(gain), _verdict(gain)]
        for federation, name, budget, longer, gain in gains(found)
    ]
    return "\n".join(["## What a larger budget gave", "", *markdown(head, lines)])


def _verdict(gain: Difference) -> str:
    if gain.interval is None:
        return "one seed says nothing"
    return "no: it still gains" if gain.interval[0] > 0 else "yes: no gain beyond the noise"


def _notes(rows: Sequence[Row]) -> str:
    failed = sum(row.status == "failed" for row in rows)
    strange = len(rows) - len(alike(rows))
    known = {(federation, name) for (federation, _), groups in reported(rows).items() for name in groups}
    untuned = sorted({(row.federation, row.name) for row in rows if row.status == "done"} - known)
    mixed = sorted({row.name for row in rows if len({one.code for one in rows if one.name == row.name}) > 1})
    lines = [
        f"{len(rows)} runs, {failed} of them failed. AUROC, Brier score and calibration error (10 bins) of `any` on "
        "the test folds, mean over sites, then over seeds. Differences are taken seed by seed, in brackets their 95 % "
        "bootstrap interval over seeds; p of the sign-flip test, corrected by Holm for the schemes of one table. "
        "Unseen: a hospital outside the federation, without labels. Tuned arguments were chosen on validation folds.",
        *(f"`{_word(name)}` on {_word(where)}: no point of its grid can be chosen yet." for where, name in untuned),
        *([f"{strange} rows are left out: other choices under the same name as later rows."] if strange else []),
        *(f"`{_word(name)}` has rows of several versions of the code." for name in mixed),
    ]
    return "\n\n".join(lines)


def _title(place: Place) -> str:
    federation, budget = _word(place[0]), place[1]
    return federation if budget == 1 else f"{federation}, {budget} x the rounds"


def _tuned(rows: Sequence[Row]) -> str:
    return "".join(_word(f" {name}={value}") for name, value in rows[0].grid.items())


def _word(name: str) -> str:
    """Somebody's word as a cell of a table: one line that ends no cell, and no formula where it is pasted."""
    return cell(one_line(name).replace("|", "/").replace("`", "'"))


def _middle(rows: Sequence[Row], value: Callable[[Row], float | None]) -> float:
    found = mean_of([value(row) for row in rows])
    return found.mean if found else float("-inf")


def _plus_minus(found: Mean | None) -> str:
    if found is None:
        return "-"
    return f"{found.mean:.3f}" + (f" ± {found.sd:.3f}" if found.sd is not None else "")


def _short(found: Mean | None, digits: int = 3) -> str:
    return f"{found.mean:,.{digits}f}" if found else "-"


def _gap(gap: Difference | None) -> str:
    if gap is None:
        return ""
    inside = f" [{gap.interval[0]:+.3f}, {gap.interval[1]:+.3f}]" if gap.interval else ""
    return f"{gap.mean:+.3f}{inside}"


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table in Markdown."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *lines)]

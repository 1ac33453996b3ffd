"""The table of series that `brainct data index` writes and a person may edit: one row a series, chosen or not, why."""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from brainct.core.spreadsheet import spreadsheet_cell
from brainct.ct.read.label_table import read_table
from brainct.ct.read.series_rule import Series
from brainct.errors import Refused

COLUMNS = (
    "chosen",
    "rule",
    "reason",
    "description",
    "slices",
    "slice_mm",
    "kernel",
    "patient",
    "study",
    "folder",
    "series",
)
"""`chosen` is for people to edit: yes or no. `rule` is what the rule says. The table stays at the site."""
_WORDS = {"yes": True, "no": False, "1": True, "0": False, "true": True, "false": False}


def write_series_table(path: Path, found: Sequence[Series], edited: dict[str, bool]) -> None:
    """Write one row a series, readable by its owner only. edited: choices of people, by series, which stay."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for one in found:
        first = one.first
        cells = (
            *(_yes(edited.get(one.uid, one.chosen)), _yes(one.chosen), one.reason, first.description, one.slices),
            *("" if first.thickness is None else f"{first.thickness:g}", first.kernel, first.patient, first.study),
            *(Path(first.name).parent.as_posix(), one.uid),
        )
        writer.writerow([spreadsheet_cell(str(cell)) for cell in cells])
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text.getvalue())


def read_series_table(path: Path) -> dict[str, tuple[bool, bool]]:
    """What is chosen, and what the rule said, by series; Refused if the table is not one of these."""
    table = read_table(path, path.name)
    lacking = [column for column in ("chosen", "rule", "series") if column not in table.columns]
    if lacking:
        raise Refused(f"{path.name}: wanted the column `{lacking[0]}`: write it anew with `brainct data index`")
    found = {}
    for row in table.rows:
        words = [row.cells[column].lower() for column in ("chosen", "rule")]
        if not set(words) <= _WORDS.keys():
            raise Refused(f"{path.name}, row {row.line}: `chosen` is {words[0]!r}, wanted yes or no")
        found[row.cells["series"]] = (_WORDS[words[0]], _WORDS[words[1]])
    return found


def edited_choices(path: Path, found: Sequence[Series]) -> dict[str, bool]:
    """The choices in a table that differ from the rule's, by series; empty if there is no table."""
    if not path.exists():
        return {}
    return {series: chosen for series, (chosen, rule) in _table_of(path, found).items() if chosen != rule}


def with_table(found: Sequence[Series], path: Path) -> tuple[list[Series], list[str]]:
    """The series as the table chooses them, and a note on series that it does not have."""
    table = _table_of(path, found)
    new = sum(one.uid not in table for one in found)
    chosen = [replace(one, chosen=table.get(one.uid, (False, False))[0]) for one in found]
    return chosen, [f"{new} series are not in the index and left out: run `brainct data index` again"] * bool(new)


def _table_of(path: Path, found: Sequence[Series]) -> dict[str, tuple[bool, bool]]:
    """The table, which is refused if it is of other series altogether: two folders must not share one."""
    table = read_series_table(path)
    if table and found and table.keys().isdisjoint(one.uid for one in found):
        raise Refused(
            f"{path.name} lists none of the {len(found)} series below root, so it is another folder's: give each site "
            "file an `index` of its own, or remove this one and run `brainct data index`"
        )
    return table


def _yes(chosen: bool) -> str:
    return "yes" if chosen else "no"

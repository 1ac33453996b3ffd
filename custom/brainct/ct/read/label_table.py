"""A hospital's CSV of labels: header, cells and rows checked, six findings a row."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainct.ct.folds import FINDINGS
from brainct.ct.read.opened import content
from brainct.errors import Refused

Labels = NDArray[np.float32]
ANY = FINDINGS.index("any")
MOST_BYTES, MOST_CELLS = 2**27, 2**24
"""Of one table; the largest public one, of 4.5 million rows, has 119 MB and 9 million cells."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'", "＝", "＋", "－", "＠")
"""What a spreadsheet takes for the beginning of a formula, or drops before one; and the apostrophe that `cell` adds."""
_CELLS = {"0": 0.0, "1": 1.0, "": float("nan")}


@dataclass(frozen=True)
class Row:
    """One line of the CSV, counted as a spreadsheet does (the header is line 1)."""

    line: int
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """The CSV with blanks around headers and cells removed."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read_table(path: Path, name: str, root: Path | None = None) -> Table:
    """Read comma-separated UTF-8, with or without a byte-order mark; Refused says what is wrong and in which row.

    root: see `opened`. A cell is data and nothing else, whatever a spreadsheet would make of it.
    """
    if not path.exists():
        raise Refused(f"no {name} in root: put the CSV there or name it with `labels`")
    try:
        lines = io.StringIO(content(path, name, root, MOST_BYTES).decode("utf-8-sig"), newline="")
        raw = list(_few(csv.reader(lines, strict=True), name))
    except (UnicodeDecodeError, csv.Error):
        raise Refused(f"{name}: not a comma-separated text file in UTF-8: export it again as CSV UTF-8") from None
    raw = [(line, cells) for line, cells in raw if any(cells)]
    if len(raw) < 2:
        raise Refused(f"{name}: {'a header but no rows' if raw else 'empty'}, wanted a header and a row per scan")
    columns = tuple(raw[0][1])
    if len(columns) == 1 and ";" in columns[0]:
        raise Refused(
            f"{name}: its cells are separated by semicolons, wanted commas: export it again as CSV with commas"
        )
    _once(columns, name)
    return Table(name, columns, tuple(_row(columns, line, cells, name) for line, cells in raw[1:]))


def cell(text: str) -> str:
    """A text as a cell of a table that we write: one that a spreadsheet would compute begins with an apostrophe."""
    bare = text.lstrip().lstrip("\ufeff").lstrip()
    return f"'{text}" if text.startswith(FORMULA) or bare.startswith(FORMULA) else text


def _few(reader: Any, name: str) -> Iterator[tuple[int, list[str]]]:
    count = 0
    for line in reader:
        count += len(line)
        if count > MOST_CELLS:
            raise Refused(f"{name}: more than {MOST_CELLS:,} cells: is it the table of the labels?")
        yield reader.line_num, [cell.strip() for cell in line]


def _once(columns: Sequence[str], name: str) -> None:
    twice = [column for column in dict.fromkeys(columns) if columns.count(column) > 1]
    if twice:
        raise Refused(f"{name}: column `{twice[0]}` stands twice in the header: remove or rename one")


def _row(columns: Sequence[str], line: int, cells: Sequence[str], name: str) -> Row:
    if len(cells) != len(columns):
        raise Refused(f"{name}, row {line}: {len(cells)} cells, wanted {len(columns)} as in the header")
    return Row(line, dict(zip(columns, cells, strict=True)))


def finding_columns(table: Table, chosen: Mapping[str, str], others: Sequence[str]) -> dict[str, str]:
    """Which column holds which finding: as `chosen`, else by the findings' own names, `label` standing for `any`."""
    wanted = dict(chosen) if chosen else {each: each for each in FINDINGS if each in table.columns}
    if not chosen and "label" in table.columns:
        if "any" in wanted:
            raise Refused(f"{table.name}: both `any` and `label` are there: say with `columns` which one is meant")
        wanted["any"] = "label"
    lacking = [column for column in (*others, *wanted.values()) if column not in table.columns]
    if lacking or not wanted:
        missing = " and ".join(f"`{each}`" for each in lacking) or "a finding (" + ", ".join(FINDINGS) + ") or `label`"
        found = ", ".join(f"`{each}`" for each in table.columns)
        raise Refused(f"{table.name}: wanted the column {missing}, found {found}: correct the header or set `columns`")
    return wanted


def labels_of(row: Row, columns: Mapping[str, str], name: str) -> Labels:
    """(6,) of 0, 1 or NaN; `any` is filled in where the subtypes decide it, and refused where they contradict it."""
    labels = np.full(len(FINDINGS), np.nan, np.float32)
    for finding, column in columns.items():
        cell = row.cells[column]
        if cell not in _CELLS:
            raise Refused(f"{name}, row {row.line}, column `{column}`: got {cell!r}, wanted 0, 1 or nothing")
        labels[FINDINGS.index(finding)] = _CELLS[cell]
    return _united(labels, f"{name}, row {row.line}")


def _united(labels: Labels, where: str) -> Labels:
    subtypes = labels[:ANY]
    positive, decided = bool((subtypes == 1).any()), not np.isnan(subtypes).any()
    if labels[ANY] == 0 and positive:
        subtype = FINDINGS[int(np.argmax(subtypes == 1))]
        raise Refused(f"{where}: `any` is 0 but `{subtype}` is 1: correct one of them")
    if np.isnan(labels[ANY]) and (positive or decided):
        labels[ANY] = float(positive)
    return labels

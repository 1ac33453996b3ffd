"""A site's CSV of labels: checks header, rows and cells; six findings a row."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainct.ct.folds import FINDINGS
from brainct.ct.read.finding_names import matching_columns
from brainct.errors import Refused
from brainct.training.site_files import read_bytes

Labels = NDArray[np.float32]
ANY = FINDINGS.index("any")
MOST_BYTES, MOST_CELLS = 2**27, 2**24
"""Limits of one table; the largest public one has 4.5 million rows, 119 MB and 9 million cells."""
_CELLS = {"0": 0.0, "1": 1.0, "": float("nan")}


@dataclass(frozen=True)
class LabelRow:
    """One line of the CSV; lines count as in a spreadsheet, where the header is line 1."""

    line: int
    cells: Mapping[str, str]


@dataclass(frozen=True)
class LabelTable:
    """The CSV, without spaces around headers and cells."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[LabelRow, ...]


def read_table(path: Path, name: str, root: Path | None = None) -> LabelTable:
    """Read a text table in UTF-8, with or without byte-order mark; Refused names the problem and its row.

    Cells are separated by commas, or by tabs or semicolons if the header has those and no comma; empty columns at the
    end are left out. root: see `open_file`. A cell is plain text, even if a spreadsheet would compute it.
    """
    if not path.exists():
        raise Refused(f"no {name} in root: put the CSV there, or set `labels` to its name")
    try:
        text = read_bytes(path, name, root, MOST_BYTES).decode("utf-8-sig")
        lines = io.StringIO(text, newline="")
        raw = list(_limited(csv.reader(lines, strict=True, delimiter=_separator(text)), name))
    except (UnicodeDecodeError, csv.Error):
        raise Refused(f"{name}: not a comma-separated text file in UTF-8: export it again as CSV UTF-8") from None
    raw = [(line, cells) for line, cells in raw if any(cells)]
    if len(raw) < 2:
        raise Refused(f"{name}: {'a header but no rows' if raw else 'empty'}, wanted a header and a row per scan")
    columns = tuple(_without_empty_end(raw[0][1], 0))
    raw = [(line, _without_empty_end(cells, len(columns))) for line, cells in raw]
    _check_unique(columns, name)
    return LabelTable(name, columns, tuple(_row(columns, line, cells, name) for line, cells in raw[1:]))


def _separator(text: str) -> str:
    header = text.partition("\n")[0]
    return next((each for each in ",\t;" if each in header), ",")


def _without_empty_end(cells: list[str], least: int) -> list[str]:
    """Spreadsheets write empty columns at the end of each row."""
    end = len(cells)
    while end > least and not cells[end - 1]:
        end -= 1
    return cells[:end]


def _limited(reader: Any, name: str) -> Iterator[tuple[int, list[str]]]:
    count = 0
    for line in reader:
        count += len(line)
        if count > MOST_CELLS:
            raise Refused(f"{name}: more than {MOST_CELLS:,} cells: is it the label table?")
        yield reader.line_num, [cell.strip() for cell in line]


def _check_unique(columns: Sequence[str], name: str) -> None:
    repeated = [column for column in dict.fromkeys(columns) if columns.count(column) > 1]
    if repeated:
        raise Refused(f"{name}: column `{repeated[0]}` is twice in the header: remove or rename one")


def _row(columns: Sequence[str], line: int, cells: Sequence[str], name: str) -> LabelRow:
    if len(cells) != len(columns):
        raise Refused(f"{name}, row {line}: {len(cells)} cells, wanted {len(columns)} as in the header")
    return LabelRow(line, dict(zip(columns, cells, strict=True)))


def finding_columns(table: LabelTable, chosen: Mapping[str, str], others: Sequence[str]) -> dict[str, str]:
    """The column of each finding: as `chosen`, otherwise by its name or a synonym of it; `label` means `any`."""
    wanted = dict(chosen) or matching_columns((c for c in table.columns if c not in others), FINDINGS, table.name)
    lacking = [column for column in (*others, *wanted.values()) if column not in table.columns]
    if lacking or not wanted:
        missing = " and ".join(f"`{each}`" for each in lacking) or "a finding (" + ", ".join(FINDINGS) + ") or `label`"
        found = ", ".join(f"`{each}`" for each in table.columns)
        raise Refused(f"{table.name}: wanted the column {missing}, found {found}: correct the header or set `columns`")
    return wanted


def labels_of(row: LabelRow, columns: Mapping[str, str], name: str) -> Labels:
    """(6,) of 0, 1 or NaN; `any` is filled in if the subtypes decide it, and refused if they contradict it."""
    labels = np.full(len(FINDINGS), np.nan, np.float32)
    for finding, column in columns.items():
        cell = row.cells[column]
        if cell not in _CELLS:
            raise Refused(f"{name}, row {row.line}, column `{column}`: got {cell!r}, wanted 0, 1 or nothing")
        labels[FINDINGS.index(finding)] = _CELLS[cell]
    return with_any(labels, f"{name}, row {row.line}")


def with_any(labels: Labels, where: str) -> Labels:
    """The labels with `any` filled in if the subtypes decide it; Refused if they contradict it."""
    subtypes = labels[:ANY]
    positive, decided = bool((subtypes == 1).any()), not np.isnan(subtypes).any()
    if labels[ANY] == 0 and positive:
        subtype = FINDINGS[int(np.argmax(subtypes == 1))]
        raise Refused(f"{where}: `any` is 0 but `{subtype}` is 1: correct one of them")
    if labels[ANY] == 1 and (subtypes == 0).all():
        raise Refused(f"{where}: `any` is 1 but all subtypes are 0: correct one of them, or empty the subtypes' cells")
    if np.isnan(labels[ANY]) and (positive or decided):
        labels[ANY] = float(positive)
    return labels

"""A hospital's CSV of labels: header, cells and rows checked, six findings a row."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainct.ct.scans import FINDINGS
from brainct.errors import Refused

Labels = NDArray[np.float32]
ANY = FINDINGS.index("any")
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


def read_table(path: Path, name: str) -> Table:
    """Read comma-separated UTF-8, with or without a byte-order mark; Refused says what is wrong and in which row."""
    if not path.is_file():
        raise Refused(f"no {name} in root: put the CSV there or name it with `labels`")
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines, strict=True)
            raw = [(reader.line_num, [cell.strip() for cell in line]) for line in reader]
    except OSError as error:
        raise Refused(f"{name}: cannot be read ({type(error).__name__}): check its access rights") from None
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

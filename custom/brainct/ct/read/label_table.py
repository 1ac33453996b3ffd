"""A site's CSV of labels: checks header, rows and cells; six findings a row."""

import csv
import difflib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainct.ct.folds import FINDINGS
from brainct.ct.read.finding_names import matching_columns
from brainct.ct.wanted import DEFAULT, Wanted
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


CLASS = "label"
"""The column of a single-choice job that names a scan's class."""


def readable_findings(job: Wanted) -> tuple[str, ...]:
    """The findings of which a label says something: the job's own, and RSNA's, since `any` follows from the others."""
    return tuple(dict.fromkeys((*job.findings, *FINDINGS)))


def check_names(names: Iterable[str], job: Wanted, where: str) -> list[str]:
    """Those that the job knows; Refused for one that looks like a finding of the job and is spelt otherwise."""
    known, found = readable_findings(job), list(names)
    for name in found:
        if name not in known and (close := difflib.get_close_matches(name.lower(), map(str.lower, known), 1, 0.75)):
            meant = next(each for each in known if each.lower() == close[0])
            raise Refused(f"{where}: got {name!r}, wanted {meant!r}, as the job names it")
    return [name for name in found if name in known]


def check_asked(named: Iterable[str], job: Wanted) -> list[str]:
    """A note on findings that a site file names and the job does not ask for; Refused if it names no other."""
    given = set(named) - ({CLASS} if job.single else set())
    known = set(check_names(sorted(given), job, "the site file"))
    if given and not known:
        raise Refused(
            f"the site file names {', '.join(sorted(given))}, and the job asks for {', '.join(job.findings)}: correct "
            "`columns` or `classes`, or take no part"
        )
    left = len(given - known)
    return [f"labels of {left} findings that the job does not ask for were left out"] * bool(left)


def finding_columns(
    table: LabelTable, chosen: Mapping[str, str], others: Sequence[str], job: Wanted = DEFAULT
) -> dict[str, str]:
    """The column of each finding: as `chosen`, otherwise by its name or a synonym of it.

    `label` means `any`, the one finding of a job that has one, or in a single-choice job the name of a scan's class.
    """
    wanted = {name: chosen[name] for name in check_names(chosen, job, "`columns`")}
    if job.single and CLASS in chosen:
        wanted[CLASS] = chosen[CLASS]
    if not chosen:
        own = CLASS if job.single else job.findings[0] if len(job.findings) == 1 else "any"
        meant = own != "any" and CLASS in table.columns and CLASS not in job.findings
        left = [c for c in table.columns if c not in others and not (meant and c == CLASS)]
        wanted = matching_columns(left, readable_findings(job), table.name)
        if meant and own in wanted:
            raise Refused(f"{table.name}: has both `{own}` and `label`: choose one with `columns`")
        wanted |= {own: CLASS} if meant else {}
    lacking = [column for column in (*others, *wanted.values()) if column not in table.columns]
    if lacking or (job.labelled and not wanted):
        missing = " and ".join(f"`{each}`" for each in lacking) or f"a finding ({', '.join(job.findings)}) or `label`"
        found = ", ".join(f"`{each}`" for each in table.columns)
        raise Refused(f"{table.name}: wanted the column {missing}, found {found}: correct the header or set `columns`")
    return wanted


def labels_of(row: LabelRow, columns: Mapping[str, str], name: str, job: Wanted = DEFAULT) -> Labels:
    """(F,) of 0, 1 or NaN for the job's findings.

    `any` is filled in if the five kinds of bleeding decide it, and refused if they contradict it. In a single-choice
    job a 1 makes the others 0; a second 1, or nothing but 0, is refused.
    """
    where, found = f"{name}, row {row.line}", dict[str, float]()
    for finding, column in columns.items():
        cell = row.cells[column]
        if job.single and finding == CLASS:
            found |= _class_named(cell, job, f"{where}, column `{column}`")
        elif cell not in _CELLS:
            raise Refused(f"{where}, column `{column}`: got {cell!r}, wanted 0, 1 or nothing")
        else:
            found[finding] = _CELLS[cell]
    return complete(found, job, where)


def complete(found: Mapping[str, float], job: Wanted, where: str) -> Labels:
    """(F,) labels of the job's findings from those that are known by name, completed and checked: see `labels_of`."""
    bleeding = with_any(np.array([found.get(name, np.nan) for name in FINDINGS], np.float32), where)
    every = {**found, **dict(zip(FINDINGS, bleeding.tolist(), strict=True))}
    labels = np.array([every.get(name, np.nan) for name in job.findings], np.float32)
    return _single(labels, job, where) if job.single else labels


def _class_named(cell: str, job: Wanted, where: str) -> dict[str, float]:
    if cell and cell not in job.findings:
        raise Refused(f"{where}: got {cell!r}, wanted one of {', '.join(job.findings)}, or nothing")
    return {name: float(name == cell) for name in job.findings} if cell else {}


def _single(labels: Labels, job: Wanted, where: str) -> Labels:
    positive = [name for name, label in zip(job.findings, labels.tolist(), strict=True) if label == 1]
    if len(positive) > 1:
        raise Refused(f"{where}: {' and '.join(positive)} are both 1, but the job wants one class a scan")
    if not (np.isnan(labels).any() or positive):
        raise Refused(f"{where}: none of {', '.join(job.findings)} is 1, but the job wants one class a scan")
    return np.where(labels == 1, 1.0, 0.0).astype(np.float32) if positive else labels


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

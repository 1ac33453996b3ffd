"""Scans listed in a table: one row a scan, with its labels, its patient and perhaps its fold."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from brainct.ct.read.entries import (
    Listing,
    ScanEntry,
    check_match,
    check_no_repeat,
    chosen_columns,
    path_inside,
    plain_path,
)
from brainct.ct.read.label_table import LabelRow, LabelTable, finding_columns, labels_of, read_table
from brainct.ct.site_config import SiteFile
from brainct.ct.wanted import Wanted
from brainct.errors import Refused
from brainct.training.data import FOLDS


def manifest(file: SiteFile, root: Path) -> Listing:
    """The scans of a table with a path in each row."""
    table = read_table(path_inside(root, file.labels, "labels"), file.labels, root)
    columns = finding_columns(table, chosen_columns(file), ["image"], file.job)
    entries = [_entry(table, row, columns, root, file.job) for row in table.rows]
    check_no_repeat([(entry.name, entry.slice) for entry in entries], table)
    if file.job.labelled:
        _check_patients(entries, table)
    missing = [entry.name for entry in entries if not entry.path.exists()]
    notes = check_match(missing, [], table.name, file.allow_missing)
    return [entry for entry in entries if entry.path.exists()], notes


def _entry(table: LabelTable, row: LabelRow, columns: Mapping[str, str], root: Path, job: Wanted) -> ScanEntry:
    where = f"{table.name}, row {row.line}"
    name, fold, slice_ = (row.cells.get(column, "") for column in ("image", "split", "slice"))
    if not name:
        raise Refused(f"{where}, column `image`: empty, wanted a path relative to root")
    if fold and fold not in FOLDS:
        raise Refused(f"{where}, column `split`: got {fold!r}, wanted {', '.join(FOLDS)}")
    if slice_ and not (slice_.isascii() and slice_.isdigit()):
        raise Refused(f"{where}, column `slice`: got {slice_!r}, wanted the 0-based number of a slice")
    name = plain_path(name)
    return ScanEntry(
        name=name,
        path=path_inside(root, name, where),
        labels=labels_of(row, columns, table.name, job),
        patient=row.cells.get("patient_id") or None,
        fold=fold or None,
        slice=int(slice_) if slice_ else None,
        root=root,
    )


def _check_patients(entries: Sequence[ScanEntry], table: LabelTable) -> None:
    given = [entry.fold is not None for entry in entries]
    if any(given) and not all(given):
        row = table.rows[given.index(False)].line
        raise Refused(f"{table.name}, row {row}: `split` is empty but other rows have one: fill all rows or none")
    if any(given):
        return _check_one_fold(entries, table)
    unknown = [row.line for row, entry in zip(table.rows, entries, strict=True) if entry.patient is None]
    if unknown:
        raise Refused(
            f"{table.name}, row {unknown[0]}: no `patient_id`, and no `split` is given: with neither, scans of one "
            "patient could be in training and test: add a column `patient_id` (a pseudonym is enough)"
        )
    return None


def _check_one_fold(entries: Sequence[ScanEntry], table: LabelTable) -> None:
    first: dict[str, int] = {}
    for at, entry in enumerate(entries):
        before = first.setdefault(entry.patient, at) if entry.patient else at
        if entries[before].fold != entry.fold:
            rows = f"rows {table.rows[before].line} and {table.rows[at].line}"
            raise Refused(f"{table.name}: {rows} are of one patient but in two folds: put them in one fold")

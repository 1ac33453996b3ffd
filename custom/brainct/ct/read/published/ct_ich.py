"""PhysioNet CT-ICH 1.3.1: `hemorrhage_diagnosis_raw_ct.csv`, a row a slice; `ct_scans/%03d.nii`."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from brainct.ct.folds import FINDINGS
from brainct.ct.read.entries import Listing, ScanEntry, check_match, path_inside
from brainct.ct.read.label_table import ANY, LabelRow, Labels, read_table
from brainct.ct.rsna_labels import labels_for
from brainct.ct.site_config import SiteFile
from brainct.ct.wanted import Wanted
from brainct.errors import Refused

TABLE = "hemorrhage_diagnosis_raw_ct.csv"
COLUMNS = {
    "epidural": "Epidural",
    "intraparenchymal": "Intraparenchymal",
    "intraventricular": "Intraventricular",
    "subarachnoid": "Subarachnoid",
    "subdural": "Subdural",
}
FRACTURE, FRACTURE_COLUMN = "fracture", "Fracture_Yes_No"
"""The finding of the table that is no bleeding; a job may ask for it."""
NEEDED = ("PatientNumber", "SliceNumber", *COLUMNS.values(), "No_Hemorrhage")


def ct_ich(file: SiteFile, root: Path, dims: int) -> Listing:
    """A scan for each slice of the table (dims 2), or for each patient (dims 3), positive for what a slice shows.

    SliceNumber counts from 1 along the third axis of the file.
    """
    name = file.labels if "labels" in file.model_fields_set else TABLE
    table = read_table(path_inside(root, name, "labels"), name, root)
    if lacking := [column for column in NEEDED if column not in table.columns]:
        raise Refused(f"{table.name}: wanted the column `{lacking[0]}`, as in the published {TABLE}")
    entries: dict[tuple[int, int | None], ScanEntry] = {}
    with_fracture = FRACTURE in file.job.findings and FRACTURE_COLUMN in table.columns
    for row in table.rows:
        patient, number = (_whole(row, column, name) for column in ("PatientNumber", "SliceNumber"))
        labels = _labels(row, name, with_fracture)
        path = path_inside(root, f"ct_scans/{patient:03d}.nii", f"{name}, row {row.line}")
        at = (patient, None if dims == 3 else number - 1)
        if dims == 2 and at in entries:
            raise Refused(f"{name}, row {row.line}: a second row of this slice: keep one")
        known = entries[at].labels if at in entries else labels
        scan = path.relative_to(root).as_posix()
        entries[at] = ScanEntry(scan, path, np.fmax(known, labels), str(patient), None, at[1], root)
    entries = {at: replace(entry, labels=_wanted(entry.labels, file.job)) for at, entry in entries.items()}
    missing = sorted({entry.name for entry in entries.values() if not entry.path.exists()})
    named = {entry.path for entry in entries.values()}
    strays = [each for each in sorted((root / "ct_scans").glob("*.nii")) if each not in named]
    notes = check_match(missing, [each.relative_to(root).as_posix() for each in strays], name, file.allow_missing)
    return [entry for entry in entries.values() if entry.path.exists()], notes


def _whole(row: LabelRow, column: str, table: str) -> int:
    cell = row.cells[column]
    if not (cell.isascii() and cell.isdigit() and int(cell) > 0):
        raise Refused(f"{table}, row {row.line}, column `{column}`: got {cell!r}, wanted a number from 1")
    return int(cell)


def _wanted(labels: Labels, job: Wanted) -> Labels:
    """(F,) labels of the job's findings from the six and the fracture."""
    found: Labels = labels_for(job, labels[None, :-1], {FRACTURE: labels[-1:]})[0]
    return found


def _labels(row: LabelRow, table: str, with_fracture: bool) -> Labels:
    """(7,) labels: the six findings, and whether there is a fracture."""
    cells = [row.cells[column] for column in (*COLUMNS.values(), "No_Hemorrhage")]
    if not set(cells) <= {"0", "1"}:
        raise Refused(f"{table}, row {row.line}: got {cells}, wanted 0 or 1 in each finding")
    labels = np.zeros(len(FINDINGS), np.float32)
    for finding, column in COLUMNS.items():
        labels[FINDINGS.index(finding)] = row.cells[column] == "1"
    labels[ANY] = labels[:ANY].max()
    if (row.cells["No_Hemorrhage"] == "1") == bool(labels[ANY]):
        raise Refused(f"{table}, row {row.line}: `No_Hemorrhage` contradicts the types: correct one")
    fracture = row.cells[FRACTURE_COLUMN] if with_fracture else ""
    if fracture not in ("0", "1", ""):
        raise Refused(f"{table}, row {row.line}, column `{FRACTURE_COLUMN}`: got {fracture!r}, wanted 0 or 1")
    return np.append(labels, np.float32(fracture or np.nan))

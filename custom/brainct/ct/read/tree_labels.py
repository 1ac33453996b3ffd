"""The labels of a DICOM tree: RSNA 2019's long table, CQ500's readers, or a table of one's own by an identifier."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from brainct.ct.read.entries import chosen_columns, path_inside
from brainct.ct.read.finding_names import plain
from brainct.ct.read.label_table import Labels, LabelTable, finding_columns, labels_of, read_table
from brainct.ct.read.published import cq500, rsna2019
from brainct.ct.read.series_headers import SliceHeader
from brainct.ct.rsna_labels import labels_for
from brainct.ct.site_config import SiteFile
from brainct.ct.wanted import DEFAULT, Wanted
from brainct.errors import Refused

Keys = Callable[[SliceHeader], tuple[str, ...]]

IDENTIFIERS: dict[str, tuple[Keys, tuple[str, ...], bool]] = {
    "image": (lambda file: (file.image, PurePosixPath(file.name).stem), ("SOPInstanceUID", "image", "image_id"), False),
    "series": (lambda file: (file.series,), ("SeriesInstanceUID", "series"), True),
    "study": (lambda file: (file.study,), ("StudyInstanceUID", "study", "study_id"), True),
    "accession": (lambda file: (file.accession,), ("AccessionNumber", "accession"), True),
    "patient": (lambda file: (file.patient, *_folders(file)), ("PatientID", "patient_id", "patient"), True),
}
"""What a row of labels is about: the keys of a file, the names of the column, and whether it is a whole study."""


@dataclass
class TreeLabels:
    """Labels by key. of_studies: whether they are of whole studies. name: of the table."""

    name: str = "the labels"
    rows: Mapping[str, Labels] | None = None
    keys: Keys = lambda file: ()
    of_studies: bool = False
    job: Wanted = DEFAULT
    _used: set[str] = field(default_factory=set)

    def of(self, file: SliceHeader, whole: bool) -> tuple[Labels, bool]:
        """The labels of a file or, if `whole`, of its series; and whether the table has them (NaN without a table)."""
        unknown = np.full(len(self.job.findings), np.nan, np.float32)
        if self.rows is None:
            return unknown, True
        if whole and not self.of_studies:
            raise Refused(f"{self.name}: labels of single images, but the model takes volumes: use a model with 2 dims")
        key = next((key for key in self.keys(file) if key in self.rows), None)
        if key is None:
            return unknown, False
        self._used.add(key)
        return self.rows[key], True

    def unused(self) -> list[str]:
        """Rows without a file."""
        return [key for key in self.rows or {} if key not in self._used]


def tree_labels(file: SiteFile, root: Path) -> TreeLabels:
    """The labels that the site file names; none if it names none."""
    if "labels" not in file.model_fields_set:
        return TreeLabels(job=file.job)
    table = read_table(path_inside(root, file.labels, "labels"), file.labels, root)
    if rsna2019.fits(table):
        return TreeLabels(
            table.name, _of_rsna(rsna2019.labels_by_image(table), file.job), IDENTIFIERS["image"][0], job=file.job
        )
    if cq500.fits(table):
        return TreeLabels(table.name, cq500.labels_by_study(table, file.job), _cq500_keys, True, file.job)
    return _own_table(table, file)


def _of_rsna(rows: Mapping[str, Labels], job: Wanted) -> Mapping[str, Labels]:
    """Rows of the six findings as rows of the job's."""
    return dict(zip(rows, labels_for(job, np.stack(list(rows.values()))), strict=True)) if rows else rows


def _cq500_keys(file: SliceHeader) -> tuple[str, ...]:
    return tuple(plain(each) for each in (file.patient, *_folders(file)))


def _folders(file: SliceHeader) -> tuple[str, ...]:
    """The folders that hold a file, and their first words: CQ500 writes `CQ500CT1 CQ500CT1`."""
    folders = PurePosixPath(file.name).parts[:-1]
    return (*folders, *(each.split(" ")[0] for each in folders))


def _own_table(table: LabelTable, file: SiteFile) -> TreeLabels:
    known = {plain(name): what for what, (_, names, _) in IDENTIFIERS.items() for name in names}
    found = {known[plain(column)]: column for column in table.columns if plain(column) in known}
    if not found:
        raise Refused(
            f"{table.name}: no column says whose the labels are: wanted StudyInstanceUID, SeriesInstanceUID, "
            "SOPInstanceUID, AccessionNumber or PatientID"
        )
    what = next(each for each in IDENTIFIERS if each in found)
    columns = finding_columns(table, chosen_columns(file), list(found.values()), file.job)
    rows: dict[str, Labels] = {}
    for row in table.rows:
        key = row.cells[found[what]]
        if key in rows:
            raise Refused(f"{table.name}, row {row.line}: a second row of the same {what}: keep one")
        rows[key] = labels_of(row, columns, table.name, file.job)
    keys, _, whole = IDENTIFIERS[what]
    return TreeLabels(table.name, rows, keys, whole, file.job)

"""Lists a site's scans: file, labels, patient and fold of each; reads no pixels."""

import os
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from brainct.ct.folds import FINDINGS
from brainct.ct.read import image
from brainct.ct.read.label_table import (
    LabelRow,
    Labels,
    LabelTable,
    check_asked,
    check_names,
    complete,
    finding_columns,
    labels_of,
    read_table,
)
from brainct.ct.site_config import SiteFile
from brainct.ct.wanted import DEFAULT, Wanted
from brainct.errors import Refused
from brainct.training.data import FOLDS


@dataclass(frozen=True)
class ScanEntry:
    """One scan to read. name: path relative to root. slice: 0-based slice of a volume; None for all of it.

    root: the folder that must contain the file; by default the file's own folder.
    """

    name: str
    path: Path
    labels: Labels
    patient: str | None = None
    fold: str | None = None
    slice: int | None = None
    root: Path | None = None


Listing = tuple[list[ScanEntry], list[str]]


def list_scans(file: SiteFile, job: Wanted = DEFAULT) -> Listing:
    """All scans of the site in a fixed order, labelled for a job, and notes; Refused if labels do not fit."""
    root = root_of(file)
    if not root.is_dir():
        raise Refused(f"root {root} is not a folder: correct `root` in the site file or mount the disk")
    if not os.access(root, os.R_OK | os.X_OK):
        raise Refused(f"root {root} cannot be read: give the account that runs FLARE read access")
    if not any(root.iterdir()):
        raise Refused(f"root {root} is empty: correct `root` in the site file or put the scans there")
    readers: dict[str, Callable[[SiteFile, Path, Wanted], Listing]] = {
        "png_csv": _png_csv,
        "class_folders": _class_folders,
        "manifest": _manifest,
    }
    named = [*(file.columns or {}), *(each for several in (file.classes or {}).values() for each in several)]
    unasked = check_asked(named, job)
    entries, notes = readers[file.kind](file, root, job)
    if not entries:
        raise Refused(f"no scan in root {root}: correct `root` or put the scans there")
    return entries, [*notes, *unasked]


def root_of(file: SiteFile) -> Path:
    """The folder of the scans; the site file's model guarantees that it is given."""
    assert file.root is not None
    return file.root


def path_inside(root: Path, name: str, where: str) -> Path:
    """The path of `name` under root; Refused if it is absolute, contains `..`, or is a link that leaves root."""
    steps = Path(name)
    if steps.is_absolute() or ".." in steps.parts or "\\" in name:
        raise Refused(f"{where}: path {name!r}: wanted a path relative to root, with / and without ..")
    if not (root / steps).resolve().is_relative_to(root.resolve()):
        raise Refused(f"{where}: path {name!r} is a link that leaves root: copy the file into root")
    return root / steps


def _png_csv(file: SiteFile, root: Path, job: Wanted) -> Listing:
    table = read_table(path_inside(root, file.labels, "labels"), file.labels, root)
    columns = finding_columns(table, _chosen(file), [file.id_column], job)
    names = [_image_name(file, table, row) for row in table.rows]
    _check_no_repeat(names, table)
    paths = [
        path_inside(root, name, f"{table.name}, row {row.line}") for name, row in zip(names, table.rows, strict=True)
    ]
    entries = [
        ScanEntry(name, path, labels_of(row, columns, table.name, job), root=root)
        for name, path, row in zip(names, paths, table.rows, strict=True)
        if path.is_file()
    ]
    present = {entry.name for entry in entries}
    before, after = _around_id(file.images)
    on_disk = (path.relative_to(root).as_posix() for path in root.glob(f"{before}*{after}") if path.is_file())
    missing = [name for name in names if name not in present]
    return entries, _check_match(missing, sorted(set(on_disk) - present), table.name, file.allow_missing)


def _chosen(file: SiteFile) -> dict[str, str]:
    return {str(finding): column for finding, column in (file.columns or {}).items()}


def _image_name(file: SiteFile, table: LabelTable, row: LabelRow) -> str:
    cell = row.cells[file.id_column]
    try:
        return file.images.format(id=int(cell) if _spec(file.images).endswith("d") else cell)
    except ValueError:
        raise Refused(
            f"{table.name}, row {row.line}, column `{file.id_column}`: got {cell!r}, which does not fit {file.images}"
        ) from None


def _spec(pattern: str) -> str:
    return next(spec or "" for _, name, spec, _ in string.Formatter().parse(pattern) if name == "id")


def _around_id(pattern: str) -> tuple[str, str]:
    before, rest = pattern.split("{id", 1)
    return before, rest.split("}", 1)[1]


def _check_no_repeat(names: Sequence[object], table: LabelTable) -> None:
    seen: dict[object, int] = {}
    for name, row in zip(names, table.rows, strict=True):
        if name in seen:
            raise Refused(f"{table.name}: rows {seen[name]} and {row.line} name the same image: keep one")
        seen[name] = row.line


def _check_match(no_image: Sequence[str], no_label: Sequence[str], table: str, allowed: bool) -> list[str]:
    problems = []
    if no_image:
        problems.append((f"{_count(no_image, 'label')}{{}} without an image", no_image))
    if no_label:
        problems.append((f"{_count(no_label, 'image')} without a label{{}}", no_label))
    if problems and not allowed:
        text = "; ".join(f"{what.format(f' in {table}')}: {_first(names)}" for what, names in problems)
        raise Refused(f"{text}. Complete the set, or set `allow_missing: true` to leave these out")
    return [
        f"left out: {what.format('')}" for what, _ in problems
    ]  # notes go into the record, so they contain no file names


def _count(names: Sequence[str], word: str) -> str:
    return f"{len(names)} {word}{'s' if len(names) > 1 else ''}"


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _images_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in image.SUFFIXES and path.is_file())


def _class_folders(file: SiteFile, root: Path, job: Wanted) -> Listing:
    classes = file.classes or {}
    entries = []
    for folder in sorted(classes):
        path = path_inside(root, folder, "classes")
        found = _images_in(path) if path.is_dir() else []
        if not found:
            raise Refused(f"class folder `{folder}` {'contains no PNG or JPEG' if path.is_dir() else 'is not in root'}")
        names = [each.relative_to(root).as_posix() for each in found]
        labels = _class_labels(folder, classes, job)
        entries += [ScanEntry(name, path_inside(root, name, "classes"), labels, root=root) for name in names]
    known = {entry.path.parent for entry in entries}
    strays = [each for each in [root, *sorted(root.iterdir())] if each.is_dir() and each not in known]
    no_label = [path.relative_to(root).as_posix() for folder in strays for path in _images_in(folder)]
    return entries, _check_match([], no_label, "`classes`", file.allow_missing)


def _class_labels(folder: str, classes: Mapping[str, Sequence[str]], job: Wanted) -> Labels:
    """A folder with findings is positive for them; one without is negative for all findings of the other folders."""
    where, positive = f"`classes`, folder {folder}", bool(classes[folder])
    own = check_names(classes[folder], job, where)
    others = {name for several in classes.values() for name in check_names(several, job, where)}
    about = set(own if positive else others)
    if not job.single and (about & set(FINDINGS) or not any(classes.values())):
        about.add("any")
    return complete(dict.fromkeys(about, float(positive)), job, where)


def _manifest(file: SiteFile, root: Path, job: Wanted) -> Listing:
    table = read_table(path_inside(root, file.labels, "labels"), file.labels, root)
    columns = finding_columns(table, _chosen(file), ["image"], job)
    entries = [_entry(table, row, columns, root, job) for row in table.rows]
    _check_no_repeat([(entry.name, entry.slice) for entry in entries], table)
    _check_patients(entries, table)
    missing = [entry.name for entry in entries if not entry.path.exists()]
    notes = _check_match(missing, [], table.name, file.allow_missing)
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

"""Pictures in one folder, labelled by a table with an id in each row."""

import glob
import string
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
from brainct.errors import Refused


def png_csv(file: SiteFile, root: Path) -> Listing:
    """The pictures that a table names by `images` and the column of ids."""
    table = read_table(path_inside(root, file.labels, "labels"), file.labels, root)
    columns = finding_columns(table, chosen_columns(file), [file.id_column], file.job)
    names = [plain_path(_image_name(file, table, row)) for row in table.rows]
    check_no_repeat(names, table)
    paths = [
        path_inside(root, name, f"{table.name}, row {row.line}") for name, row in zip(names, table.rows, strict=True)
    ]
    entries = [
        ScanEntry(name, path, labels_of(row, columns, table.name, file.job), root=root)
        for name, path, row in zip(names, paths, table.rows, strict=True)
        if path.is_file()
    ]
    present = {entry.path.relative_to(root).as_posix() for entry in entries}
    before, after = map(glob.escape, _around_id(file.images))
    on_disk = (path.relative_to(root).as_posix() for path in root.glob(f"{before}*{after}") if path.is_file())
    named = {entry.name for entry in entries}
    missing = [name for name in names if name not in named]
    return entries, check_match(missing, sorted(set(on_disk) - present), table.name, file.allow_missing)


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

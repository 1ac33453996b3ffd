"""A scan as the listing of a site knows it, and what all listings check: paths, repetition, and what has no partner."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from brainct.ct.read.label_table import Labels, LabelTable
from brainct.ct.site_config import SiteFile
from brainct.errors import Refused


@dataclass(frozen=True)
class ScanEntry:
    """One scan to read. name: path relative to root. slice: 0-based slice of a volume; None for all of it.

    root: the folder that must contain the file; by default the file's own folder. files: all of a series that lies
    among others in a folder. study: of which the scan is a part, if that is known.
    """

    name: str
    path: Path
    labels: Labels
    patient: str | None = None
    fold: str | None = None
    slice: int | None = None
    root: Path | None = None
    files: tuple[Path, ...] = ()
    study: str | None = None


Listing = tuple[list[ScanEntry], list[str]]


def root_of(file: SiteFile) -> Path:
    """The folder of the scans; the site file's model guarantees that it is given."""
    assert file.root is not None
    return file.root


def path_inside(root: Path, name: str, where: str) -> Path:
    """The path of `name` under root; Refused if it is absolute, contains `..`, or is a link that leaves root.

    A letter with an accent is one character or two: the form is taken in which the file is on disk.
    """
    steps = Path(name)
    if steps.is_absolute() or ".." in steps.parts or "\\" in name:
        raise Refused(f"{where}: path {name!r}: wanted a path relative to root, with / and without ..")
    if not (root / steps).resolve().is_relative_to(root.resolve()):
        raise Refused(f"{where}: path {name!r} is a link that leaves root: copy the file into root")
    forms = (
        [steps] if name.isascii() else [steps, *(Path(unicodedata.normalize(form, name)) for form in ("NFC", "NFD"))]
    )
    return root / next((form for form in forms if (root / form).exists()), steps)


def plain_path(name: str) -> str:
    """The path without steps that do nothing: `./0.png` and `0.png` are one image."""
    return PurePosixPath(name).as_posix() if name else name


def chosen_columns(file: SiteFile) -> dict[str, str]:
    """The column of each finding that the site file names."""
    return {str(finding): column for finding, column in (file.columns or {}).items()}


def check_no_repeat(names: Sequence[object], table: LabelTable) -> None:
    """Refuse two rows that name one image."""
    seen: dict[object, int] = {}
    for name, row in zip(names, table.rows, strict=True):
        if name in seen:
            raise Refused(f"{table.name}: rows {seen[name]} and {row.line} name the same image: keep one")
        seen[name] = row.line


def check_match(no_image: Sequence[str], no_label: Sequence[str], table: str, allowed: bool) -> list[str]:
    """Notes on labels without an image and images without a label; Refused unless that is allowed."""
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

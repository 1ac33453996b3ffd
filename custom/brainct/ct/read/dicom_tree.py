"""A tree of DICOM files as a PACS exports it: no manifest; the brain series of each study is found by a rule."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from brainct.ct.read.entries import Listing, ScanEntry, check_match
from brainct.ct.read.series_headers import SliceHeader, tree_headers
from brainct.ct.read.series_rule import Series, series_of
from brainct.ct.read.series_table import with_table
from brainct.ct.read.tree_labels import TreeLabels, tree_labels
from brainct.ct.site_config import SiteFile
from brainct.errors import Refused


def dicom_tree(file: SiteFile, root: Path, dims: int) -> Listing:
    """A scan for each slice (dims 2) or series (dims 3) that is chosen, labelled by the site's table if it has one.

    If the job takes neighbours, a slice is one of its series, which is read whole.
    """
    found, notes = find_series(file, root)
    chosen = [one for one in found if one.chosen]
    if not chosen:
        reasons = Counter(one.reason for one in found).most_common(3)
        why = "; ".join(f"{reason} ({count})" for reason, count in reasons) or "no DICOM file"
        raise Refused(f"no brain series in root {root}: {why}: see `brainct data index`, and set `series`")
    labels = tree_labels(file, root)
    whose = _patients(chosen)
    entries: list[ScanEntry] = []
    no_label: list[str] = []
    for one in chosen:
        made = _volumes(one, labels, root) if dims == 3 else _slices(one, labels, root, file.job.neighbours > 0)
        no_label += [entry.name for entry, labelled in made if not labelled]
        study = one.first.study or one.uid
        entries += [replace(entry, patient=whose[one.uid], study=study) for entry, labelled in made if labelled]
    notes += check_match(labels.unused(), no_label, labels.name, file.allow_missing)
    weak = dims == 2 and labels.of_studies
    return entries, notes + ["labels are of studies: each slice has those of its study"] * weak


def find_series(file: SiteFile, root: Path) -> tuple[list[Series], list[str]]:
    """Every series below root, chosen by the site's table if there is one, else by the rule; and notes."""
    tree = tree_headers(root, file.cache)
    if tree.unreadable and file.on_unreadable == "refuse":
        names = "\n- ".join(list(tree.unreadable.values())[:20])
        raise Refused(f"{len(tree.unreadable)} files cannot be read\n- {names}")
    notes = [f"set aside: {tree.set_aside} files that are no DICOM"] * bool(tree.set_aside)
    if tree.unreadable:
        share = len(tree.unreadable) / (len(tree.unreadable) + len(tree.headers))
        if share > file.unreadable_share:
            raise Refused(f"{len(tree.unreadable)} files cannot be read, more than `unreadable_share` allows")
        notes.append(f"left out: {len(tree.unreadable)} files that cannot be read; `brainct data check` names them")
    found = series_of(tree.headers, file.series)
    if file.index is not None and file.index.exists():
        found, new = with_table(found, file.index)
        return found, notes + new
    aside = len(found) - sum(one.chosen for one in found)
    return found, notes + [f"set aside: {aside} of {len(found)} series; `brainct data index` says why"] * bool(aside)


def _patients(chosen: list[Series]) -> dict[str, str]:
    """Whose a series is: by PatientID, or by study where it is missing or, in a bad export, the same for all."""
    known = {one.first.patient for one in chosen}
    alone = len(known) == 1 and len({one.first.study for one in chosen}) > 2
    return {one.uid: (not alone and one.first.patient) or f"study {one.first.study or one.uid}" for one in chosen}


def _volumes(one: Series, labels: TreeLabels, root: Path) -> list[tuple[ScanEntry, bool]]:
    found, labelled = labels.of(one.first, whole=True)
    files = tuple(file.path for file in one.files)
    return [(ScanEntry(_name(one), files[0], found, root=root, files=files), labelled)]


def _name(one: Series) -> str:
    return f"{Path(one.first.name).parent.as_posix()}/{one.uid}"


def _slices(one: Series, labels: TreeLabels, root: Path, stacked: bool) -> list[tuple[ScanEntry, bool]]:
    seen: set[str] = set()
    files = []
    for file in one.files:
        if file.image not in seen or not file.image:
            seen.add(file.image)
            files.append(file)
    if stacked and all(file.frames == 1 for file in files):
        return _stacked(one, files, labels, root)
    return [made for file in files for made in _frames(file, labels, root)]


def _stacked(one: Series, files: Sequence[SliceHeader], labels: TreeLabels, root: Path) -> list[tuple[ScanEntry, bool]]:
    """The slices of a series from the lowest up, each as one of the whole series."""
    paths = tuple(file.path for file in files)
    known = [labels.of(file, whole=False) for file in files]
    return [
        (ScanEntry(_name(one), paths[0], found, slice=at, root=root, files=paths), labelled)
        for at, (found, labelled) in enumerate(known)
    ]


def _frames(file: SliceHeader, labels: TreeLabels, root: Path) -> list[tuple[ScanEntry, bool]]:
    found, labelled = labels.of(file, whole=False)
    numbers = [None] if file.frames == 1 else range(file.frames)
    return [(ScanEntry(file.name, file.path, found, slice=number, root=root), labelled) for number in numbers]

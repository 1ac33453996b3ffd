"""Scans in one folder for each class."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from brainct.ct.folds import FINDINGS
from brainct.ct.read import image
from brainct.ct.read.entries import Listing, ScanEntry, check_match, path_inside
from brainct.ct.read.file_kinds import UNREAD, has_dicom_mark, is_companion, other_format
from brainct.ct.read.label_table import Labels, check_names, complete
from brainct.ct.site_config import SiteFile
from brainct.ct.wanted import Wanted
from brainct.errors import Refused

_SUFFIXES = (*image.SUFFIXES, ".nii", ".nii.gz", ".dcm")


def class_folders(file: SiteFile, root: Path) -> Listing:
    """The scans in the folders that `classes` names: pictures, NIfTI, DICOM files, and folders of one series."""
    classes = file.classes or {}
    entries = []
    for folder in sorted(classes):
        path = path_inside(root, folder, "classes")
        found = _scans_in(path, root) if path.is_dir() else []
        if not found:
            raise Refused(f"class folder `{folder}` {'contains no scan' if path.is_dir() else 'is not in root'}")
        names = [each.relative_to(root).as_posix() for each in found]
        labels = _class_labels(folder, classes, file.job)
        entries += [ScanEntry(name, path_inside(root, name, "classes"), labels, root=root) for name in names]
    known = {entry.path.parent for entry in entries}
    strays = [each for each in [root, *sorted(root.iterdir())] if each.is_dir() and each not in known]
    no_label = [path.relative_to(root).as_posix() for folder in strays for path in _files_in(folder)]
    return entries, check_match([], no_label, "`classes`", file.allow_missing)


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _is_scan(path))


def _is_scan(path: Path) -> bool:
    return path.name.lower().endswith(_SUFFIXES) and not is_companion(path) and path.is_file()


def _scans_in(folder: Path, root: Path) -> list[Path]:
    """The scan files of a class folder and its sub-folders of DICOM; Refused for what would be left out in silence."""
    series = []
    for path in sorted(folder.iterdir()):
        name = path.relative_to(root).as_posix()
        if path.is_dir():
            series += [path] if _is_series(path, name, root) else []
        elif path.suffix.lower() in UNREAD:
            raise Refused(f"{name}: {other_format(path, name, root) or 'an image'} in a class folder: convert it")
    return sorted([*_files_in(folder), *series])


def _is_series(folder: Path, name: str, root: Path) -> bool:
    """Whether a sub-folder holds one DICOM series; Refused if it holds any other scan, or folders."""
    files = [path for path in sorted(folder.iterdir()) if not is_companion(path)]
    dicom = [path for path in files if path.is_file() and has_dicom_mark(path, f"{name}/{path.name}", root)]
    lost = [path for path in files if path.is_dir() or (path not in dicom and _is_scan(path))]
    if lost:
        raise Refused(
            f"{name}/{lost[0].name}: in a sub-folder of a class folder, which may hold one DICOM series only: "
            "move it to the class folder"
        )
    return bool(dicom)


def _class_labels(folder: str, classes: Mapping[str, Sequence[str]], job: Wanted) -> Labels:
    """A folder with findings is positive for them; one without is negative for all findings of the other folders."""
    where, positive = f"`classes`, folder {folder}", bool(classes[folder])
    own = check_names(classes[folder], job, where)
    others = {name for several in classes.values() for name in check_names(several, job, where)}
    about = set(own if positive else others)
    if not job.single and (about & set(FINDINGS) or not any(classes.values())):
        about.add("any")
    return complete(dict.fromkeys(about, float(positive)), job, where)

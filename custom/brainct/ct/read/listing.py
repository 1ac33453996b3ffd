"""Lists a site's scans: file, labels, patient and fold of each; reads no pixels."""

import os
from collections.abc import Callable
from pathlib import Path

from brainct.ct.read.class_folders import class_folders
from brainct.ct.read.entries import Listing, ScanEntry, root_of
from brainct.ct.read.label_table import check_asked
from brainct.ct.read.manifest import manifest
from brainct.ct.read.png_csv import png_csv
from brainct.ct.read.published.ct_ich import ct_ich
from brainct.ct.read.published.datalist import datalist
from brainct.ct.read.published.masks import masks
from brainct.ct.site_config import SiteFile
from brainct.errors import Refused

__all__ = ["ScanEntry", "list_scans"]


def list_scans(file: SiteFile, dims: int = 2) -> Listing:
    """All scans of the site in a fixed order, and notes; Refused if root is empty or does not match the labels.

    dims: of a DICOM tree, 2 lists slices and 3 volumes.
    """
    root = root_of(file)
    if not root.is_dir():
        raise Refused(f"root {root} is not a folder: correct `root` in the site file or mount the disk")
    if not os.access(root, os.R_OK | os.X_OK):
        raise Refused(f"root {root} cannot be read: give the account that runs FLARE read access")
    if not any(root.iterdir()):
        raise Refused(f"root {root} is empty: correct `root` in the site file or put the scans there")
    readers: dict[str, Callable[[SiteFile, Path], Listing]] = {
        "png_csv": png_csv,
        "class_folders": class_folders,
        "manifest": manifest,
        "dicom": lambda file, root: _dicom(file, root, dims),
        "ct_ich": lambda file, root: ct_ich(file, root, dims),
        "masks": lambda file, root: masks(file, root, dims),
        "datalist": datalist,
    }
    named = [*(file.columns or {}), *(each for several in (file.classes or {}).values() for each in several)]
    unasked = check_asked(named, file.job)
    entries, notes = readers[file.kind](file, root)
    if not entries:
        raise Refused(f"no scan in root {root}: correct `root` or put the scans there")
    return entries, [*notes, *unasked]


def _dicom(file: SiteFile, root: Path, dims: int) -> Listing:
    from brainct.ct.read.dicom_tree import dicom_tree  # pydicom is a slow import

    return dicom_tree(file, root, dims)

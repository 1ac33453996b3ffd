"""Volumes with a mask of the lesions, as in INSTANCE22, BHSD and HemSeg-200: the labels are derived from the mask."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainct.ct.folds import FINDINGS
from brainct.ct.read.entries import Listing, ScanEntry, check_match, path_inside
from brainct.ct.read.label_table import check_names
from brainct.ct.read.mask_values import check_values, values_of
from brainct.ct.rsna_labels import labels_for
from brainct.ct.site_config import SiteFile
from brainct.ct.wanted import Wanted
from brainct.errors import Refused
from brainct.training.site_files import decoding, open_file

BHSD = {1: "epidural", 2: "intraparenchymal", 3: "intraventricular", 4: "subarachnoid", 5: "subdural"}
"""The values of a BHSD mask."""


def masks(file: SiteFile, root: Path, dims: int) -> Listing:
    """A scan for each slice (dims 2) or volume (dims 3) of the files that `images` and `masks` name by their id."""
    images, labelled, notes = pairs_by_id(root, file.images, str(file.masks), file.allow_missing)
    entries = []
    for name in images:
        where = labelled[name].relative_to(root).as_posix()
        marked = mask_labels(labelled[name], where, root, file.mask_values or {}, file.job, dims == 3)
        entries += _entries(images[name], name, root, marked, dims)
    return entries, notes


def pairs_by_id(
    root: Path, images: str, masks: str, allow_missing: bool = False
) -> tuple[dict[str, Path], dict[str, Path], list[str]]:
    """The volumes and the masks of every id that has both, in the order of the ids, and notes on the others."""
    volumes, labelled = _by_id(root, images), _by_id(root, masks)
    notes = check_match(
        [labelled[name].relative_to(root).as_posix() for name in sorted(labelled.keys() - volumes.keys())],
        [volumes[name].relative_to(root).as_posix() for name in sorted(volumes.keys() - labelled.keys())],
        "`masks`",
        allow_missing,
    )
    both = sorted(volumes.keys() & labelled.keys())
    return {name: volumes[name] for name in both}, {name: labelled[name] for name in both}, notes


def mask_labels(
    path: Path, name: str, root: Path, values: Mapping[int, str], job: Wanted, whole: bool
) -> NDArray[np.float32]:
    """(D, F) labels of the slices of a NIfTI mask along its third axis, or (1, F) of the whole.

    values: the finding of each value; empty where a mask has 0 and 1 and its types are unknown, so only `any` is known.
    """
    check_names(values.values(), job, "`mask_values`")
    import nibabel as nib  # a slow import that most runs do not need

    with open_file(path, name, root) as file, decoding(name, "unreadable or truncated mask"):
        content = file.read()
        content = _unzipped(content) if name.lower().endswith(".gz") else content
        mask = np.asarray(nib.Nifti1Image.from_bytes(content).dataobj)
    if mask.ndim != 3:
        raise Refused(f"{name}: a mask of {mask.ndim} axes, wanted three")
    if values:
        check_values(mask, values, name)
    marks = {each: values_of(each, values) for each in (*FINDINGS, *values.values())}
    marked = {each: np.isin(mask, own) for each, own in marks.items() if own} if values else {"any": mask != 0}
    known = {each: np.atleast_1d(one.any(None if whole else (0, 1))) for each, one in marked.items()}
    unknown = np.full(1 if whole else mask.shape[2], np.nan)
    return labels_for(job, np.stack([known.get(each, unknown) for each in FINDINGS], 1), known)


def _unzipped(content: bytes) -> bytes:
    import zlib

    most = 2**30
    inflater = zlib.decompressobj(31)
    found = inflater.decompress(content, most)
    if not inflater.eof:
        raise EOFError
    return found


def _entries(path: Path, name: str, root: Path, labels: NDArray[np.float32], dims: int) -> list[ScanEntry]:
    scan = path.relative_to(root).as_posix()
    if dims == 3:
        return [ScanEntry(scan, path, labels[0], name, None, None, root)]
    return [ScanEntry(scan, path, each, name, None, at, root) for at, each in enumerate(labels)]


def _by_id(root: Path, pattern: str) -> dict[str, Path]:
    """The files of a pattern such as `images/{id}.nii.gz`, by id."""
    before, _, after = pattern.partition("{id}")
    if "{" in after or not after:
        raise Refused(f"`images` and `masks`: got {pattern!r}, wanted one {{id}} in each, such as images/{{id}}.nii.gz")
    named = re.compile(re.escape(before) + r"([^/]+)" + re.escape(after))
    folder = path_inside(root, str(Path(before + "x").parent), "images")
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    matches = [(named.fullmatch(path.relative_to(root).as_posix()), path) for path in files]
    return {match[1]: path for match, path in matches if match and path.is_file()}

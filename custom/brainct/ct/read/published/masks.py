"""Volumes with a mask of the lesions, as in INSTANCE22, BHSD and HemSeg-200: the labels are derived from the mask."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainct.ct.folds import FINDINGS
from brainct.ct.read.entries import Listing, ScanEntry, check_match, path_inside
from brainct.ct.read.label_table import ANY, Labels
from brainct.ct.site_config import SiteFile
from brainct.errors import Refused
from brainct.training.site_files import decoding, open_file

BHSD = {1: "epidural", 2: "intraparenchymal", 3: "intraventricular", 4: "subarachnoid", 5: "subdural"}
"""The values of a BHSD mask."""


def masks(file: SiteFile, root: Path, dims: int) -> Listing:
    """A scan for each slice (dims 2) or volume (dims 3) of the files that `images` and `masks` name by their id."""
    images, labelled = _by_id(root, file.images), _by_id(root, str(file.masks))
    both = sorted(images.keys() & labelled.keys())
    entries = []
    for name in both:
        found = mask_labels(labelled[name], labelled[name].relative_to(root).as_posix(), root, file.mask_values or {})
        entries += _entries(images[name], name, root, found, dims)
    notes = check_match(
        [labelled[name].relative_to(root).as_posix() for name in sorted(labelled.keys() - images.keys())],
        [images[name].relative_to(root).as_posix() for name in sorted(images.keys() - labelled.keys())],
        "`masks`",
        file.allow_missing,
    )
    return entries, notes


def mask_labels(path: Path, name: str, root: Path, values: Mapping[int, str]) -> NDArray[np.float32]:
    """(D, 6) labels of the slices of a NIfTI mask along its third axis.

    values: the finding of each value; empty where a mask has 0 and 1 and its types are unknown, so only `any` is known.
    """
    import nibabel as nib  # a slow import that most runs do not need

    with open_file(path, name, root) as file, decoding(name, "unreadable or truncated mask"):
        content = file.read()
        content = _unzipped(content) if name.lower().endswith(".gz") else content
        mask = np.asarray(nib.Nifti1Image.from_bytes(content).dataobj)
    if mask.ndim != 3:
        raise Refused(f"{name}: a mask of {mask.ndim} axes, wanted three")
    known = set(values) | {0}
    found = set(np.unique(mask).tolist())
    if values and not found <= known:
        odd = sorted(found - known)[:5]
        raise Refused(f"{name}: mask values {odd}, wanted {sorted(known)}: correct `mask_values` in the site file")
    labels = np.full((mask.shape[2], len(FINDINGS)), np.nan, np.float32)
    for value, finding in values.items():
        labels[:, FINDINGS.index(finding)] = (mask == value).any((0, 1))
    labels[:, ANY] = (mask != 0).any((0, 1))
    return labels


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
        return [ScanEntry(scan, path, _whole(labels), name, None, None, root)]
    return [ScanEntry(scan, path, each, name, None, at, root) for at, each in enumerate(labels)]


def _whole(labels: NDArray[np.float32]) -> Labels:
    found: Labels = labels.max(0)
    return found


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

"""MONAI's data list (`dataset.json` of the Medical Segmentation Decathlon): images, labels and folds in JSON."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from brainct.ct.folds import FINDINGS
from brainct.ct.read.entries import Listing, ScanEntry, check_match, path_inside, plain_path
from brainct.ct.read.label_table import ANY, MOST_BYTES, Labels, with_any
from brainct.ct.read.published.masks import mask_labels
from brainct.ct.site_config import SiteFile
from brainct.errors import Refused
from brainct.training.site_files import decoding, read_bytes

PARTS = {"training": "train", "validation": "valid", "testing": "test", "test": "test"}


def datalist(file: SiteFile, root: Path) -> Listing:
    """A scan for each item; `training`, `validation` and `testing` are the folds, if there are more than one.

    A label is 0 or 1 for `any`, six numbers in the order of the findings, or the path of a mask. Without the other
    folds the site file's `split` divides the training part by `patient_id`, else by image.
    """
    name = file.labels if "labels" in file.model_fields_set else "dataset.json"
    with decoding(name, "not readable as JSON", "export the data list again"):
        content = json.loads(read_bytes(path_inside(root, name, "labels"), name, root, MOST_BYTES))
    if not isinstance(content, dict) or not isinstance(content.get("training"), list):
        raise Refused(f"{name}: wanted a list `training` of items with `image` and `label`")
    parts = {part: content.get(part) or [] for part in PARTS if isinstance(content.get(part) or [], list)}
    given = any(parts[part] for part in parts if part != "training")
    items = [(part, at, item) for part in parts for at, item in enumerate(parts[part])]
    entries = [
        _entry(item, PARTS[part] if given else None, f"{name}, {part}[{at}]", root, file) for part, at, item in items
    ]
    missing = [entry.name for entry in entries if not entry.path.exists()]
    notes = check_match(missing, [], name, file.allow_missing)
    return [entry for entry in entries if entry.path.exists()], notes


def _entry(item: Any, fold: str | None, where: str, root: Path, file: SiteFile) -> ScanEntry:
    item = {"image": item} if isinstance(item, str) else item
    if not isinstance(item, dict) or not isinstance(item.get("image"), str):
        raise Refused(f"{where}: wanted an item with `image`, a path relative to root")
    name = plain_path(item["image"])
    labels = _labels(item.get("label"), where, root, file)
    patient = item.get("patient_id")
    return ScanEntry(name, path_inside(root, name, where), labels, str(patient or name), fold, None, root)


def _labels(label: Any, where: str, root: Path, file: SiteFile) -> Labels:
    labels = np.full(len(FINDINGS), np.nan, np.float32)
    if isinstance(label, str):
        slices = mask_labels(path_inside(root, label, where), label, root, file.mask_values or {})
        whole: Labels = slices.max(0)
        return whole
    numbers = label if isinstance(label, list) else [] if label is None else [label]
    if any(isinstance(each, bool) or each not in (0, 1) for each in numbers) or len(numbers) not in (
        0,
        1,
        len(FINDINGS),
    ):
        raise Refused(f"{where}: label {label!r}, wanted 0 or 1, {len(FINDINGS)} of them, or the path of a mask")
    if len(numbers) == 1:
        labels[ANY] = numbers[0]
    elif numbers:
        labels[:] = numbers
    return with_any(labels, where)

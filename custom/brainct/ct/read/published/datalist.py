"""MONAI's data list (`dataset.json` of the Medical Segmentation Decathlon): images, labels and folds in JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brainct.ct.read.entries import Listing, ScanEntry, check_match, path_inside, plain_path
from brainct.ct.read.label_table import MOST_BYTES, Labels, complete
from brainct.ct.read.published.masks import mask_labels
from brainct.ct.site_config import SiteFile
from brainct.ct.wanted import Wanted
from brainct.errors import Refused
from brainct.training.site_files import decoding, read_bytes

PARTS = {"training": "train", "validation": "valid", "testing": "test", "test": "test"}


def datalist(file: SiteFile, root: Path) -> Listing:
    """A scan for each item; `training`, `validation` and `testing` are the folds, if there are more than one.

    A label is 0 or 1 for `any` or the job's only finding, a number for each of the job's findings in turn, or the path
    of a mask; in a single-choice job the number of a class, named by `labels` in the list, or by the job's order.
    Without the other folds the site file's `split` divides the training part by `patient_id`, else by image.
    """
    name = file.labels if "labels" in file.model_fields_set else "dataset.json"
    with decoding(name, "not readable as JSON", "export the data list again"):
        content = json.loads(read_bytes(path_inside(root, name, "labels"), name, root, MOST_BYTES))
    if not isinstance(content, dict) or not isinstance(content.get("training"), list):
        raise Refused(f"{name}: wanted a list `training` of items with `image` and `label`")
    parts = {part: content.get(part) or [] for part in PARTS if isinstance(content.get(part) or [], list)}
    given = any(parts[part] for part in parts if part != "training")
    items = [(part, at, item) for part in parts for at, item in enumerate(parts[part])]
    classes = _classes(content.get("labels"), file.job)
    entries = [
        _entry(item, PARTS[part] if given else None, f"{name}, {part}[{at}]", root, file, classes)
        for part, at, item in items
    ]
    missing = [entry.name for entry in entries if not entry.path.exists()]
    notes = check_match(missing, [], name, file.allow_missing)
    return [entry for entry in entries if entry.path.exists()], notes


def _classes(named: Any, job: Wanted) -> Mapping[int, str]:
    """The finding of each number: as the list names them, if it names findings of the job; else in the job's order."""
    given = named if isinstance(named, dict) else {}
    known = {int(at): name for at, name in given.items() if str(at).isdigit() and name in job.findings}
    return known or dict(enumerate(job.findings))


def _entry(
    item: Any, fold: str | None, where: str, root: Path, file: SiteFile, classes: Mapping[int, str]
) -> ScanEntry:
    item = {"image": item} if isinstance(item, str) else item
    if not isinstance(item, dict) or not isinstance(item.get("image"), str):
        raise Refused(f"{where}: wanted an item with `image`, a path relative to root")
    name = plain_path(item["image"])
    labels = _labels(item.get("label"), where, root, file, classes)
    patient = item.get("patient_id")
    return ScanEntry(name, path_inside(root, name, where), labels, str(patient or name), fold, None, root)


def _labels(label: Any, where: str, root: Path, file: SiteFile, classes: Mapping[int, str]) -> Labels:
    job = file.job
    if isinstance(label, str):
        path = path_inside(root, label, where)
        marked: Labels = mask_labels(path, label, root, file.mask_values or {}, job, whole=True)[0]
        return marked
    numbers = label if isinstance(label, list) else [] if label is None else [label]
    one = len(numbers) == 1 and len(job.findings) > 1
    if job.single and one:
        if type(numbers[0]) is not int or numbers[0] not in classes:
            raise Refused(f"{where}: label {label!r}, wanted the number of a class, {min(classes)} to {max(classes)}")
        return complete({name: float(name == classes[numbers[0]]) for name in job.findings}, job, where)
    if any(isinstance(each, bool) or each not in (0, 1) for each in numbers) or len(numbers) not in (
        0,
        1,
        len(job.findings),
    ):
        raise Refused(f"{where}: label {label!r}, wanted 0 or 1, {len(job.findings)} of them, or the path of a mask")
    names = ("any",) if one else job.findings
    return complete(dict(zip(names, map(float, numbers), strict=False)), job, where)

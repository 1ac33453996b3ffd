"""A site's scans with their masks from files: volumes and masks by their id, or a table of images and masks."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainct.ct.preprocess import Pixels
from brainct.ct.read.decode import check_plausible, cut, read_whole
from brainct.ct.read.entries import ScanEntry, path_inside
from brainct.ct.read.label_table import LabelRow, read_table
from brainct.ct.read.mask_values import values_of
from brainct.ct.read.published.masks import pairs_by_id
from brainct.errors import Refused
from brainct.segment.config import SegmentChoices
from brainct.segment.masks import marked, read_mask
from brainct.segment.site_config import SegmentFile
from brainct.training.data import FOLDS

COLUMNS = ("image", "mask", "patient_id")


@dataclass(frozen=True)
class Sample:
    """One scan as decoded, its masks (F, H, W[, D]) of 0, 1 and NaN, its patient, and its fold if that is given."""

    pixels: Pixels
    masks: NDArray[np.float32]
    patient: str
    fold: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class MaskedScan:
    """One image and its mask, below root. slice: 0-based, None for all of it."""

    image: str
    mask: str
    patient: str
    fold: str = ""
    slice: int | None = None


def read_samples(file: SegmentFile, choices: SegmentChoices) -> Iterator[Sample]:
    """Every scan that the site file names; an image is decoded once for all of its slices that are listed together."""
    assert file.root is not None
    if not any(values_of(name, file.mask_values) for name in choices.findings):
        named = ", ".join(sorted(set(file.mask_values.values())))
        raise Refused(f"`mask_values` names {named}, and the job asks for {', '.join(choices.findings)}")
    scans = _by_id(file, file.root, choices.network.dims) if file.kind == "masks" else _in_table(file, file.root)
    for _, together in groupby(scans, lambda one: (one.image, one.mask, one.slice is None)):
        yield from _read(list(together), file, file.root, choices)


def _read(scans: list[MaskedScan], file: SegmentFile, root: Path, choices: SegmentChoices) -> Iterator[Sample]:
    first = _entry(scans[0], root)
    whole, notes = read_whole(first, choices.network.dims)
    values = read_mask(root, scans[0].mask, scans[0].image, first.slice is not None)
    for scan in scans:
        entry = _entry(scan, root)
        pixels = cut(whole, entry, choices.network.dims)
        said = (*notes, *check_plausible(pixels, scan.image))
        cropped = values if scan.slice is None else values[:, :, scan.slice : scan.slice + 1]
        flat = cropped[:, :, 0] if choices.network.dims == 2 and cropped.shape[2] == 1 else cropped
        if flat.shape != pixels.values.shape:
            raise Refused(f"{scan.mask}: its shape is {flat.shape}, its image's {pixels.values.shape}")
        yield Sample(pixels, marked(flat, file.mask_values, choices.findings), scan.patient, scan.fold, said)


def _entry(scan: MaskedScan, root: Path) -> ScanEntry:
    path = path_inside(root, scan.image, "image")
    return ScanEntry(scan.image, path, np.zeros(0, np.float32), slice=scan.slice, root=root)


def _by_id(file: SegmentFile, root: Path, dims: int) -> list[MaskedScan]:
    """The volumes of kind masks; on slices each of their slices, along the third axis of the file."""
    images, masks, _ = pairs_by_id(root, str(file.images), str(file.masks))
    scans = []
    for name, path in images.items():
        image, mask = (each.relative_to(root).as_posix() for each in (path, masks[name]))
        scan = MaskedScan(image, mask, name)
        count = 0 if dims == 3 else read_mask(root, mask, image, True).shape[2]
        scans += [replace(scan, slice=at) for at in range(count)] if count else [scan]
    return scans


def _in_table(file: SegmentFile, root: Path) -> list[MaskedScan]:
    table = read_table(path_inside(root, file.labels, "labels"), file.labels, root)
    if missing := [column for column in COLUMNS if column not in table.columns]:
        raise Refused(f"{file.labels}: wanted the columns {', '.join(COLUMNS)}; {', '.join(missing)} is missing")
    return [_row(row, f"{file.labels}, row {row.line}") for row in table.rows]


def _row(row: LabelRow, where: str) -> MaskedScan:
    name, slice_, fold = row.cells["image"], row.cells.get("slice", ""), row.cells.get("split", "")
    if not name or not row.cells["patient_id"]:
        raise Refused(f"{where}: wanted an image and a patient_id (a pseudonym is enough)")
    if slice_ and not (slice_.isascii() and slice_.isdigit()):
        raise Refused(f"{where}, column `slice`: got {slice_!r}, wanted the 0-based number of a slice")
    if fold and fold not in FOLDS:
        raise Refused(f"{where}, column `split`: got {fold!r}, wanted {', '.join(FOLDS)}")
    return MaskedScan(name, row.cells["mask"], row.cells["patient_id"], fold, int(slice_) if slice_ else None)

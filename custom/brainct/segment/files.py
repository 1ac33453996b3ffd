"""A site's scans with their masks from files: volumes and masks by their id, or a table of images and masks."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from brainct.ct.preprocess import Pixels
from brainct.ct.read.decode import check_plausible, cut, read_whole
from brainct.ct.read.entries import ScanEntry, path_inside
from brainct.ct.read.label_table import LabelRow, check_names, read_table
from brainct.ct.read.mask_values import check_values, values_of
from brainct.ct.read.nifti import slices_of
from brainct.ct.read.published.masks import pairs_by_id
from brainct.ct.rendered import check_field, each_read
from brainct.errors import Refused
from brainct.segment.config import SegmentChoices
from brainct.segment.masks import Masks, Volume, marked, read_mask
from brainct.segment.site_config import SegmentFile
from brainct.training.data import FOLDS

COLUMNS = ("image", "mask", "patient_id")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Sample:
    """One scan as decoded, its masks (F, H, W[, D]), and its patient."""

    pixels: Pixels
    masks: Masks
    patient: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class MaskedScan(ScanEntry):
    """One image and its mask, by its name as in error messages; the labels follow from the mask and are empty here."""

    mask: str = field(kw_only=True)
    mask_path: Path = field(kw_only=True)


def list_scans(file: SegmentFile, choices: SegmentChoices) -> tuple[list[MaskedScan], list[str]]:
    """Every scan that the site file names, before any is decoded, and notes on what it leaves out."""
    assert file.root is not None
    check_names(file.mask_values.values(), choices.wanted, "`mask_values`")
    if not any(values_of(name, file.mask_values) for name in choices.findings):
        named = ", ".join(sorted(set(file.mask_values.values())))
        raise Refused(f"`mask_values` names {named}, and the job asks for {', '.join(choices.findings)}")
    if file.kind == "mask_table":
        return _in_table(file, file.root), []
    scans, notes = _by_id(file, file.root, choices.network.dims)
    if not scans:
        raise Refused(f"no scan in root {file.root}: correct `root`, `images` and `masks`, or put the scans there")
    return scans, notes


def read_each(
    scans: Sequence[MaskedScan], file: SegmentFile, choices: SegmentChoices, then: Callable[[Sample], Found]
) -> Iterator[tuple[int, Found | Refused]]:
    """What `then` gives of each scan, by its index, or why it cannot be read; an image is decoded once."""
    return each_read(
        scans,
        lambda scan: (scan.path, scan.mask, scan.slice is None),
        lambda scan: _read(scan, file, choices.network.dims),
        lambda whole, scan: then(_sample(*whole, scan, file, choices)),
    )


def _read(scan: MaskedScan, file: SegmentFile, dims: int) -> tuple[Pixels, list[str], Volume]:
    """All of an image and of its mask, which have one shape."""
    whole, notes = read_whole(scan, dims)
    assert scan.root is not None
    values = read_mask(scan.root, scan.mask, scan.name, scan.slice is not None)
    values = values[:, :, 0] if whole.values.ndim == 2 and values.shape[2] == 1 else values
    if values.shape != whole.values.shape:
        raise Refused(f"{scan.mask}: its shape is {values.shape}, its image's {whole.values.shape}")
    check_values(values, file.mask_values, scan.mask)
    return whole, notes, values


def _sample(
    whole: Pixels, notes: list[str], values: Volume, scan: MaskedScan, file: SegmentFile, choices: SegmentChoices
) -> Sample:
    pixels = cut(whole, scan, choices.network.dims)
    said = (*notes, *check_plausible(pixels, scan.name))
    check_field(pixels, scan.name, choices.wanted.fov_at(file.fov_mm))
    own = values if pixels.values.ndim == values.ndim else np.ascontiguousarray(values[:, :, scan.slice or 0])
    return Sample(pixels, marked(own, file.mask_values, choices.findings), str(scan.patient), said)


def _by_id(file: SegmentFile, root: Path, dims: int) -> tuple[list[MaskedScan], list[str]]:
    """The volumes of kind masks; on slices each of their slices, along the third axis of the file."""
    images, masks, notes = pairs_by_id(root, str(file.images), str(file.masks), file.allow_missing)
    scans = []
    for name, path in images.items():
        image, mask = (each.relative_to(root).as_posix() for each in (path, masks[name]))
        scan = MaskedScan(image, path, np.zeros(0, np.float32), name, root=root, mask=mask, mask_path=masks[name])
        # where neither has a readable header, the volume is one scan, and refused where it is read
        count = (slices_of(path, image, root) or slices_of(masks[name], mask, root)) if dims == 2 else None
        scans += [replace(scan, slice=at) for at in range(count)] if count else [scan]
    return scans, notes


def _in_table(file: SegmentFile, root: Path) -> list[MaskedScan]:
    table = read_table(path_inside(root, file.labels, "labels"), file.labels, root)
    if missing := [column for column in COLUMNS if column not in table.columns]:
        raise Refused(f"{file.labels}: wanted the columns {', '.join(COLUMNS)}; {', '.join(missing)} is missing")
    return [_row(row, f"{file.labels}, row {row.line}", root) for row in table.rows]


def _row(row: LabelRow, where: str, root: Path) -> MaskedScan:
    slice_, fold = row.cells.get("slice", ""), row.cells.get("split", "")
    name, mask, patient = (row.cells[column] for column in COLUMNS)
    if not (name and mask and patient):
        raise Refused(f"{where}: wanted an image, a mask and a patient_id (a pseudonym is enough)")
    if slice_ and not (slice_.isascii() and slice_.isdigit()):
        raise Refused(f"{where}, column `slice`: got {slice_!r}, wanted the 0-based number of a slice")
    if fold and fold not in FOLDS:
        raise Refused(f"{where}, column `split`: got {fold!r}, wanted {', '.join(FOLDS)}")
    return MaskedScan(
        name=name,
        path=path_inside(root, name, where),
        labels=np.zeros(0, np.float32),
        patient=patient,
        fold=fold or None,
        slice=int(slice_) if slice_ else None,
        root=root,
        mask=mask,
        mask_path=path_inside(root, mask, where),
    )

"""Opens a site's scans with their masks: the phantom's own, or files, in folds as head CT has them."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainct.ct.dataset import device_of
from brainct.ct.folds import FINDINGS, strata
from brainct.ct.preprocess import Pixels, letterbox, render_image
from brainct.ct.read.entries import ScanEntry, path_inside
from brainct.ct.read.label_table import LabelRow, read_table
from brainct.ct.scans import PHANTOM
from brainct.ct.split import split_folds
from brainct.errors import Refused
from brainct.segment.config import SegmentChoices
from brainct.segment.masks import marked, read_mask
from brainct.segment.site_config import SegmentFile, read_site_file
from brainct.training.data import FOLDS, Dataset, Fold

COLUMNS = ("image", "mask", "patient_id")


@dataclass(frozen=True)
class Sample:
    """One scan as decoded, its masks (F, H, W[, D]) of 0, 1 and NaN, its patient, and its fold if that is given."""

    pixels: Pixels
    masks: NDArray[np.float32]
    patient: str
    fold: str = ""


def open_site(path: Path | None, site: str, choices: SegmentChoices) -> Dataset:
    """The scans of one site; without a site file, the synthetic phantom. Refused begins with the site's name."""
    try:
        file = read_site_file(path)
        notes = (PHANTOM,) if file.kind == "phantom" else ()
        return _dataset(samples_of(file, site, choices), file, choices, notes)
    except Refused as refusal:
        raise Refused(f"{site}: {refusal}") from None


def samples_of(file: SegmentFile, site: str, choices: SegmentChoices) -> Iterator[Sample]:
    """The scans as decoded, with their masks, before anything is resized."""
    return _drawn(file, site, choices) if file.kind == "phantom" else _on_disk(file, choices)


def presence(masks: Tensor) -> Tensor:
    """(N, F) 1 where a sample's mask holds a pixel, 0 where none, NaN where there is no mask."""
    return masks.flatten(2).amax(2)


def _drawn(file: SegmentFile, site: str, choices: SegmentChoices) -> Iterator[Sample]:
    from brainct.ct.phantom import SCANNERS, scanner_of, spacing_of, studies

    chosen, network = file.phantom, choices.network
    scanner = next((one for one in SCANNERS if one.name == chosen.scanner), scanner_of(site))
    volume = network.dims == 3
    spacing = spacing_of(scanner, network.size, network.dims)
    heads = studies(site, chosen, network.size, network.size if volume else chosen.slices, scanner, volume)
    for number, (hu, kinds) in enumerate(heads):
        known = {**dict(zip(FINDINGS, kinds, strict=False)), "any": kinds.any(0)}
        unknown = np.full(hu.shape, np.nan, np.float32)
        masks = np.stack([known.get(name, unknown) for name in choices.findings]).astype(np.float32)
        if volume:
            yield Sample(Pixels(hu, True, spacing), masks, str(number))
        else:
            yield from (
                Sample(Pixels(hu[..., at], True, spacing), masks[..., at], str(number)) for at in range(hu.shape[2])
            )


def _on_disk(file: SegmentFile, choices: SegmentChoices) -> Iterator[Sample]:
    from brainct.ct.read.decode import decode

    assert file.root is not None
    named = sorted(set(file.mask_values.values()))
    if "any" not in choices.findings and not {*named} & {*choices.findings}:
        raise Refused(f"`mask_values` names {', '.join(named)}, and the job asks for {', '.join(choices.findings)}")
    table = read_table(path_inside(file.root, file.labels, "labels"), file.labels, file.root)
    if missing := [column for column in COLUMNS if column not in table.columns]:
        raise Refused(f"{file.labels}: wanted the columns {', '.join(COLUMNS)}; {', '.join(missing)} is missing")
    for row in table.rows:
        entry = _entry(file.root, row, f"{file.labels}, row {row.line}")
        pixels, _ = decode(entry, choices.network.dims)
        values = read_mask(file.root, row.cells["mask"], row.cells["image"], entry.slice is not None)
        cut = values if entry.slice is None else values[:, :, entry.slice : entry.slice + 1]
        flat = cut[:, :, 0] if choices.network.dims == 2 and cut.shape[2] == 1 else cut
        if flat.shape != pixels.values.shape:
            raise Refused(f"{row.cells['mask']}: its shape is {flat.shape}, its image's {pixels.values.shape}")
        patient, fold = row.cells["patient_id"], row.cells.get("split", "")
        yield Sample(pixels, marked(flat, file.mask_values, choices.findings), patient, fold)


def _entry(root: Path, row: LabelRow, where: str) -> ScanEntry:
    name, slice_, fold = row.cells["image"], row.cells.get("slice", ""), row.cells.get("split", "")
    if not name or not row.cells["patient_id"]:
        raise Refused(f"{where}: wanted an image and a patient_id (a pseudonym is enough)")
    if slice_ and not (slice_.isascii() and slice_.isdigit()):
        raise Refused(f"{where}, column `slice`: got {slice_!r}, wanted the 0-based number of a slice")
    if fold and fold not in FOLDS:
        raise Refused(f"{where}, column `split`: got {fold!r}, wanted {', '.join(FOLDS)}")
    labels = np.zeros(0, np.float32)
    return ScanEntry(name, path_inside(root, name, where), labels, slice=int(slice_) if slice_ else None, root=root)


def _dataset(samples: Iterable[Sample], file: SegmentFile, choices: SegmentChoices, notes: tuple[str, ...]) -> Dataset:
    listed = list(samples)
    images = torch.stack([_image(one, file, choices) for one in listed])
    masks = torch.stack([_masks(one, file, choices) for one in listed])
    patients = np.unique([one.patient for one in listed], return_inverse=True)[1].astype(np.int64)
    fold_of = _folds(listed, presence(masks).numpy(), patients, file, choices)
    if not (fold_of == 0).any():
        raise Refused("no training scans: mark some as `train` in `split`, or raise `split.train`")
    folds = {name: _fold(images, masks, patients, np.flatnonzero(fold_of == at)) for at, name in enumerate(FOLDS)}
    device, outputs = device_of(file.device), choices.findings
    return Dataset(file.kind, folds, _fingerprint(listed, fold_of), notes, file.batch_size, device, outputs=outputs)


def _fold(images: Tensor, masks: Tensor, patients: NDArray[np.int64], which: NDArray[np.int64]) -> Fold:
    own = torch.from_numpy(patients[which])
    return Fold(images[which], masks[which], own, own)


def _folds(
    listed: list[Sample],
    labels: NDArray[np.float32],
    patients: NDArray[np.int64],
    file: SegmentFile,
    choices: SegmentChoices,
) -> NDArray[np.int64]:
    given = [one.fold for one in listed]
    if not any(given):
        return split_folds(strata(labels, choices.findings), patients, file.split.fractions, file.split.seed)
    if not all(given):
        raise Refused("`split` is empty in some rows but not in others: fill all rows or none")
    homes: Mapping[str, set[str]] = {one.patient: {each.fold for each in listed if each.patient == one.patient}
                                     for one in listed}  # fmt: skip
    if any(len(home) > 1 for home in homes.values()):
        raise Refused("`split` has scans of one patient in two folds: put them in one fold")
    return np.array([FOLDS.index(fold) for fold in given], np.int64)


def _image(one: Sample, file: SegmentFile, choices: SegmentChoices) -> Tensor:
    job = choices.wanted
    return render_image(one.pixels, choices.network.size, job.windows_at(file.windows), job.fov_at(file.fov_mm))


def _masks(one: Sample, file: SegmentFile, choices: SegmentChoices) -> Tensor:
    """(F, size, size[, size]): resized as the image is, a pixel in the mask if half of it is; NaN stays NaN."""
    fov_mm = choices.wanted.fov_at(file.fov_mm)
    found = []
    for mask in torch.from_numpy(one.masks):
        shaped = letterbox(mask.nan_to_num(0.0), choices.network.size, 0.0, one.pixels.spacing, fov_mm)
        found.append(torch.full_like(shaped, torch.nan) if mask.isnan().any() else (shaped >= 0.5).float())
    return torch.stack(found)


def _fingerprint(listed: list[Sample], fold_of: NDArray[np.int64]) -> str:
    """SHA-256 over the sorted digests of (decoded pixels, masks, fold); contains no path and no patient."""
    each = [
        hashlib.sha256(
            one.pixels.digest() + np.nan_to_num(one.masks, nan=-1).astype(np.int8).tobytes() + FOLDS[fold].encode()
        ).digest()
        for one, fold in zip(listed, fold_of, strict=True)
    ]
    return hashlib.sha256(b"".join(sorted(each))).hexdigest()

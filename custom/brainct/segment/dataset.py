"""Opens a site's scans with their masks, the phantom's own or files, in folds as head CT has them."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainct.ct.dataset import device_of
from brainct.ct.folds import FINDINGS, strata
from brainct.ct.preprocess import Pixels, letterbox, render_image
from brainct.ct.scans import PHANTOM
from brainct.ct.split import split_folds
from brainct.errors import Refused
from brainct.segment.config import SegmentChoices
from brainct.segment.files import Sample, read_samples
from brainct.segment.site_config import SegmentFile, read_site_file
from brainct.training.data import FOLDS, Dataset, Fold


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
    return _drawn(file, site, choices) if file.kind == "phantom" else read_samples(file, choices)


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


def _dataset(samples: Iterable[Sample], file: SegmentFile, choices: SegmentChoices, notes: tuple[str, ...]) -> Dataset:
    listed = list(samples)
    if not listed:
        raise Refused(f"no scan in root {file.root}: correct `root`, `images` and `masks`, or put the scans there")
    said = Counter(note for one in listed for note in one.notes)
    notes = (*notes, *(f"{note}: {count} of {len(listed)} scans" for note, count in sorted(said.items())))
    images = torch.stack([_image(one, file, choices) for one in listed])
    masks = torch.stack([_masks(one, file, choices) for one in listed])
    patients = np.unique([one.patient for one in listed], return_inverse=True)[1].astype(np.int64)
    fold_of = _folds(listed, presence(masks).numpy(), patients, file, choices)
    if not (fold_of == 0).any():
        raise Refused("no training scans: mark some as `train` in `split`, or raise `split.train`")
    mm = torch.tensor([_mm(one, file, choices) for one in listed], dtype=torch.float64)
    folds = {name: _fold(images, masks, patients, mm, np.flatnonzero(fold_of == at)) for at, name in enumerate(FOLDS)}
    device, outputs = device_of(file.device), choices.findings
    return Dataset(file.kind, folds, _fingerprint(listed, fold_of), notes, file.batch_size, device, outputs=outputs)


def _fold(images: Tensor, masks: Tensor, patients: NDArray[np.int64], mm: Tensor, which: NDArray[np.int64]) -> Fold:
    own = torch.from_numpy(patients[which])
    return Fold(images[which], masks[which], own, own, mm[which])


def _mm(one: Sample, file: SegmentFile, choices: SegmentChoices) -> float:
    """mm between neighbouring pixels of the network's input, which are as far apart along every axis."""
    if one.pixels.spacing is None:
        return float("nan")
    longest = max(length * step for length, step in zip(one.pixels.values.shape, one.pixels.spacing, strict=True))
    return (choices.wanted.fov_at(file.fov_mm) or longest) / choices.network.size


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

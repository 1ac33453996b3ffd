"""Opens a site's scans with their masks, the phantom's own or files, in folds as head CT has them."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainct.ct.cache import fold_images
from brainct.ct.dataset import device_of
from brainct.ct.folds import strata
from brainct.ct.split import split_folds
from brainct.errors import Refused
from brainct.segment.config import SegmentChoices
from brainct.segment.scans import MaskedScans, mm_of, scans_of
from brainct.segment.site_config import SegmentFile, read_site_file
from brainct.training.data import FOLDS, Dataset, Fold


def open_site(path: Path | None, site: str, choices: SegmentChoices) -> Dataset:
    """The scans of one site; without a site file, the synthetic phantom. Refused begins with the site's name."""
    try:
        file = read_site_file(path)
        return _dataset(scans_of(file, site, choices), file, choices)
    except Refused as refusal:
        raise Refused(f"{site}: {refusal}") from None


def presence(masks: Tensor) -> Tensor:
    """(N, F) 1 where a sample's mask holds a pixel, 0 where none, NaN where there is no mask."""
    return masks.flatten(2).amax(2)


def labels_of(scans: MaskedScans) -> NDArray[np.float32]:
    """(N, F) as `presence`."""
    return _as_labels(presence(scans.masks)).numpy()


def folds_of(scans: MaskedScans, file: SegmentFile, choices: SegmentChoices) -> NDArray[np.int64]:
    """(N,) index into FOLDS of each scan: as given, or else one patient in one fold."""
    if not any(scans.given):
        split = file.split
        numbers = np.unique(scans.patients, return_inverse=True)[1].astype(np.int64)
        return split_folds(strata(labels_of(scans), choices.findings), numbers, split.fractions, split.seed)
    if not all(scans.given):
        raise Refused("`split` is empty in some rows but not in others: fill all rows or none")
    home: dict[str, str | None] = {}
    if any(home.setdefault(who, fold) != fold for who, fold in zip(scans.patients, scans.given, strict=True)):
        raise Refused("`split` has scans of one patient in two folds: put them in one fold")
    return np.array([FOLDS.index(str(fold)) for fold in scans.given], np.int64)


def _dataset(scans: MaskedScans, file: SegmentFile, choices: SegmentChoices) -> Dataset:
    fold_of = folds_of(scans, file, choices)
    if not (fold_of == 0).any():
        raise Refused("no training scans: mark some as `train` in `split`, or raise `split.train`")
    patients = torch.from_numpy(np.unique(scans.patients, return_inverse=True)[1].astype(np.int64))
    mm = torch.tensor([mm_of(facts, file, choices) for facts in scans.found.facts], dtype=torch.float64)
    folds = {name: _fold(scans, patients, mm, np.flatnonzero(fold_of == at)) for at, name in enumerate(FOLDS)}
    device, outputs = device_of(file.device), choices.findings
    print_ = _fingerprint(scans, fold_of)
    return Dataset(file.kind, folds, print_, scans.notes, file.batch_size, device, outputs=outputs)


def _fold(scans: MaskedScans, patients: Tensor, mm: Tensor, which: NDArray[np.int64]) -> Fold:
    found, own = scans.found, patients[which]
    images = fold_images(found.images, which, found.folder)
    masks = fold_images(scans.masks, which, found.folder, "-masks", _as_labels)
    return Fold(images, masks, own, own, mm[which])


def _as_labels(masks: Tensor) -> Tensor:
    """Float32 of 0, 1 and NaN where -1 stands for unknown."""
    return torch.where(masks < 0, torch.nan, masks.float())


def _fingerprint(scans: MaskedScans, fold_of: NDArray[np.int64]) -> str:
    """SHA-256 over the sorted digests of (decoded pixels, masks, fold); contains no path and no patient."""
    each = [
        hashlib.sha256(f"{facts.digest} {facts.masks} {FOLDS[fold]}".encode()).digest()
        for facts, fold in zip(scans.found.facts, fold_of, strict=True)
    ]
    return hashlib.sha256(b"".join(sorted(each))).hexdigest()

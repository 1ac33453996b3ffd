"""What every reader of scans delivers: folds of windowed images with one label per finding."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import torch
from torch import Tensor

from brainct.errors import Refused

FINDINGS = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any")
"""The six outputs in the order of the RSNA 2019 challenge; `any` is the union of the five before it."""

FOLDS = ("train", "valid", "test")

WINDOWS = ((40.0, 80.0), (80.0, 200.0), (40.0, 380.0))
"""Level and width in HU of the three channels: brain, subdural, soft tissue."""


@dataclass(frozen=True)
class Fold:
    """Scans of one fold.

    images: (N, C, H, W) or (N, C, H, W, D), float32 in [0, 1], one channel a window.
    labels: (N, 6) float32 in the order of FINDINGS: 0, 1, or NaN where the hospital does not know.
    patients: (N,) int64, the same number for scans of one patient; None where no patient is known.
    """

    images: Tensor
    labels: Tensor
    patients: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def units(self) -> list[Tensor]:
        """The scans of each patient, as indices into the fold; each scan alone where no patient is known."""
        if self.patients is None:
            return list(torch.split(torch.arange(len(self)), 1))
        _, place = torch.unique(self.patients, return_inverse=True)
        order = place.argsort(stable=True)
        return list(torch.split(order, torch.bincount(place).tolist()))

    @cached_property
    def digest(self) -> str:
        """64 hex digits over images, labels and patients as they lie in memory; taken once: folds do not change."""
        parts = (self.images, self.labels, torch.empty(0) if self.patients is None else self.patients)
        found = sha256()
        for part in parts:
            found.update(f"{part.dtype} {tuple(part.shape)}".encode())
            for one in part:
                found.update(one.contiguous().cpu().numpy().tobytes())
        return found.hexdigest()


@dataclass(frozen=True)
class Public:
    """Scans that all sites of a federation hold alike, without labels, in the order of their digests.

    images: as in Fold. fingerprint: SHA-256 over the sorted digests of the decoded pixels.
    """

    images: Tensor
    fingerprint: str


def no_public() -> Public:
    """What a site answers that holds no public scans."""
    raise Refused("no public scans, which the job's scheme needs: name them as `public` in the site file")


@dataclass(frozen=True)
class Dataset:
    """What one site has: folds, a fingerprint without any patient identifier, and what its people should be told.

    public: gives the federation's public scans, read when first asked for; Refused where there are none.
    """

    kind: str
    folds: Mapping[str, Fold]
    fingerprint: str
    notes: tuple[str, ...] = ()
    batch_size: int = 8
    device: str = "cpu"
    public: Callable[[], Public] = no_public

    @cached_property
    def sums(self) -> tuple[Tensor, Tensor] | None:
        """Of the training scans (C,) float64: the sum of their means over pixels, and the sum of their mean squared
        deviations from the mean of all; None without any. Taken once: folds do not change."""
        fold = self.folds.get("train")
        if fold is None or not len(fold):
            return None
        total = torch.stack([_pixels(image).mean(1) for image in fold.images]).sum(0)
        mean = total[:, None] / len(fold)
        return total, torch.stack([(_pixels(image) - mean).square().mean(1) for image in fold.images]).sum(0)


def _pixels(image: Tensor) -> Tensor:
    """(C, H, W[, D]) as (C, pixels) in float64; one scan at a time, since a fold of volumes would need gigabytes."""
    return image.flatten(1).double().cpu()

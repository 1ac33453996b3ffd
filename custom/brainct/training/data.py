"""What a site's samples are to local training: folds of inputs with one label per output, and the public set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256

import torch
from torch import Tensor

from brainct.errors import Refused

FOLDS = ("train", "valid", "test")


@dataclass(frozen=True)
class Fold:
    """Samples of one fold.

    inputs: (N, ...) float32. labels: (N, F) float32, NaN where unknown. patients: (N,) int64, the same number for
    samples of one patient; None where no patient is known. studies: (N,) int64, the same number for samples of one
    study; None where they are not told apart. mm: (N,) float64, mm between neighbouring points of an input, NaN where
    unknown; None where the inputs are no pictures, or of none it is known.
    """

    inputs: Tensor
    labels: Tensor
    patients: Tensor | None = None
    studies: Tensor | None = None
    mm: Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    @cached_property
    def units(self) -> list[Tensor]:
        """The samples of each patient, as indices into the fold; each sample alone where no patient is known."""
        if self.patients is None:
            return list(torch.split(torch.arange(len(self)), 1))
        _, place = torch.unique(self.patients, return_inverse=True)
        order = place.argsort(stable=True)
        return list(torch.split(order, torch.bincount(place).tolist()))

    @cached_property
    def digest(self) -> str:
        """64 hex digits over inputs, labels and patients as they are in memory; taken once: folds do not change."""
        parts = (self.inputs, self.labels, torch.empty(0) if self.patients is None else self.patients)
        found = sha256()
        for part in parts:
            found.update(f"{part.dtype} {tuple(part.shape)}".encode())
            for one in part:
                found.update(one.contiguous().cpu().numpy().tobytes())
        return found.hexdigest()


@dataclass(frozen=True)
class Public:
    """Samples that are the same at all sites of a federation, without labels, in the order of their digests.

    inputs: as in Fold. fingerprint: 64 hex digits over all of them.
    """

    inputs: Tensor
    fingerprint: str


def no_public() -> Public:
    """The public set of a site without one."""
    raise Refused("no public set, which the job's scheme needs: name one as `public` in the site file")


@dataclass(frozen=True)
class Dataset:
    """What one site has: folds, a fingerprint without any patient identifier, and notes for its people.

    public: gives the federation's public set, read when first asked for; Refused where there is none. outputs: names of
    the labels' columns, where the data know them. earlier: what an earlier model was trained on here, kept for replay.
    """

    kind: str
    folds: Mapping[str, Fold]
    fingerprint: str
    notes: tuple[str, ...] = ()
    batch_size: int = 8
    device: str = "cpu"
    public: Callable[[], Public] = no_public
    outputs: tuple[str, ...] = field(default=(), kw_only=True)
    earlier: Fold | None = field(default=None, kw_only=True)

    def fold(self, name: str) -> Fold:
        """A fold by name, empty where the site has none; `public`: the public set, whose labels are all NaN."""
        known = next(iter(self.folds.values()))
        if name == "public":
            inputs = self.public().inputs
            return Fold(inputs, torch.full((len(inputs), *known.labels.shape[1:]), torch.nan))
        return self.folds.get(name, Fold(known.inputs[:0], known.labels[:0]))

"""Scanners, simulated: what each hospital's own device and export would have made of scans that come from one archive.

Gamma, gain, offset, blur and the level of the noise are a hospital's; the noise itself is new in each scan. The ranges
are those of the scanner augmentation at full strength, which draws them anew for every image (see ct.augment).
"""

from dataclasses import astuple, dataclass, replace
from hashlib import sha256

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from brainct.ct.augment import BLUR, GAIN, GAMMA, NOISE, OFFSET
from brainct.training.data import Dataset


@dataclass(frozen=True)
class Simulated:
    """One hospital's scanner: gain * x^gamma + offset + noise of this standard deviation, then a blur, in [0, 1]."""

    gamma: float
    gain: float
    offset: float
    noise: float
    blur: float


def a_scanner(rng: np.random.Generator) -> Simulated:
    """Any scanner of the augmentation's ranges."""
    return Simulated(
        gamma=float(GAMMA ** rng.uniform(-1, 1)),
        gain=float(1 + rng.uniform(-GAIN, GAIN)),
        offset=float(rng.uniform(-OFFSET, OFFSET)),
        noise=float(rng.uniform(0, NOISE)),
        blur=float(rng.uniform(0, BLUR)),
    )


def through(scans: Dataset, scanner: Simulated, rng: np.random.Generator) -> Dataset:
    """The scans as this scanner would have taken them; labels, folds and public scans are what they were."""
    folds = {name: replace(fold, inputs=_seen(fold.inputs, scanner, rng)) for name, fold in scans.folds.items()}
    words = f"{scans.fingerprint} {astuple(scanner)}"
    return replace(scans, folds=folds, fingerprint=sha256(words.encode()).hexdigest())


def _seen(images: Tensor, scanner: Simulated, rng: np.random.Generator) -> Tensor:
    """(N, C, H, W[, D]) in [0, 1]; the noise of a scan is the same in all of its windows."""
    noise = rng.standard_normal((len(images), 1, *images.shape[2:]), np.float32)
    seen = scanner.gain * images.cpu().numpy() ** scanner.gamma + scanner.offset + scanner.noise * noise
    axes = tuple(range(2, images.ndim))
    blurred = ndimage.gaussian_filter(seen.astype(np.float32), scanner.blur, axes=axes, mode="nearest")
    return torch.from_numpy(blurred).clamp(0, 1).to(images.device)

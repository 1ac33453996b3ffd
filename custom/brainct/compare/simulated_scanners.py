"""Simulated scanners: how each hospital's own device and export would have changed scans of one archive.

A hospital has one gamma, gain, offset, blur and noise level; the noise itself is new in each scan. The ranges are those
of the scanner augmentation at full strength, which draws all five anew for every image (see ct.augment).
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
class SimulatedScanner:
    """gain * x^gamma + offset + noise of this standard deviation, then a blur; the result is cut to [0, 1]."""

    gamma: float
    gain: float
    offset: float
    noise: float
    blur: float


def draw_scanner(rng: np.random.Generator) -> SimulatedScanner:
    """A scanner drawn from the augmentation's ranges."""
    return SimulatedScanner(
        gamma=float(GAMMA ** rng.uniform(-1, 1)),
        gain=float(1 + rng.uniform(-GAIN, GAIN)),
        offset=float(rng.uniform(-OFFSET, OFFSET)),
        noise=float(rng.uniform(0, NOISE)),
        blur=float(rng.uniform(0, BLUR)),
    )


def rescan(scans: Dataset, scanner: SimulatedScanner, rng: np.random.Generator) -> Dataset:
    """The scans as this scanner would have taken them; labels, folds and public scans stay the same."""
    folds = {
        name: replace(fold, inputs=_rescan_images(fold.inputs, scanner, rng)) for name, fold in scans.folds.items()
    }
    words = f"{scans.fingerprint} {astuple(scanner)}"
    return replace(scans, folds=folds, fingerprint=sha256(words.encode()).hexdigest())


def _rescan_images(images: Tensor, scanner: SimulatedScanner, rng: np.random.Generator) -> Tensor:
    """(N, C, H, W[, D]) in [0, 1]; the noise of a scan is the same in all of its windows."""
    noise = rng.standard_normal((len(images), 1, *images.shape[2:]), np.float32)
    values = scanner.gain * images.cpu().numpy() ** scanner.gamma + scanner.offset + scanner.noise * noise
    axes = tuple(range(2, images.ndim))
    blurred = ndimage.gaussian_filter(values.astype(np.float32), scanner.blur, axes=axes, mode="nearest")
    return torch.from_numpy(blurred).clamp(0, 1).to(images.device)

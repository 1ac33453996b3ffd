"""The brightness of a site's training fold as sums, and a network's input normalised by such statistics."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from brainct.core.learner import Learner, Transform

Sums = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Moments:
    """A training fold's input channels as sums; the mean over a sample's pixels counts once, all pixels in it.

    scans: n, >= 0. sum: (C,) float64, of the samples' means. scatter: (C,) float64, of the samples' mean squared
    deviations from sum / n: a site's variance is scatter / n; the mean variance within sites is a ratio of sums too.
    """

    scans: int
    sum: Tensor
    scatter: Tensor


def moments(learner: Learner) -> Moments:
    """Those of the training fold, labelled or not, as it was read: before augmentation and normalisation."""
    images, _ = learner.samples("train")
    if not len(images):
        none = torch.zeros(images.shape[1], dtype=torch.float64)
        return Moments(0, none, none)
    return Moments(len(images), *_sums(images))


def normalising(mean: Sequence[float], variance: Sequence[float]) -> Transform:
    """(x - mean) / sqrt(variance), channel by channel of (N, C, ...).

    A channel of variance under 1e-12 is constant to the accuracy of float32 and is only centred.
    """
    flat = [value if value >= 1e-12 else 1.0 for value in variance]
    centre, deviation = torch.tensor(mean), torch.tensor(flat).sqrt()

    def apply(images: Tensor) -> Tensor:
        shape = (1, -1, *[1] * (images.ndim - 2))
        return (images - centre.to(images).reshape(shape)) / deviation.to(images).reshape(shape)

    return Transform(apply, [centre, deviation])


# A fold does not change, and a site asks for its sums in every round; with the fold they are forgotten.
_KNOWN: "WeakTensorKeyDictionary" = WeakTensorKeyDictionary()


def _sums(images: Tensor) -> Sums:
    if images not in _KNOWN:
        total = torch.stack([_pixels(image).mean(1) for image in images]).sum(0)
        mean = total[:, None] / len(images)
        scatter = torch.stack([(_pixels(image) - mean).square().mean(1) for image in images]).sum(0)
        _KNOWN[images] = (total, scatter)
    found: Sums = _KNOWN[images]
    return found


def _pixels(image: Tensor) -> Tensor:
    """(C, H, W[, D]) as (C, pixels) in float64; one scan at a time, since a fold of volumes would need gigabytes."""
    return image.flatten(1).double().cpu()

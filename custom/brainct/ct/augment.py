"""What training does to a batch of scans: moves the head a little and, if asked, pretends that another scanner took it.

Both halves work on a whole batch, with PyTorch's grid_sample and as a MONAI RandomizableTransform: MONAI's transforms
for single images cost 0.9 ms (RandFlip, RandAffine) and 1.5 ms (contrast, intensity, noise, blur) an image of 3x96x96.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from brainct.errors import Refused

Augment = Callable[[Tensor, np.random.Generator], Tensor]

GAMMA, GAIN, OFFSET, NOISE, BLUR = 1.5, 0.2, 0.1, 0.06, 1.0
"""The scanner at full strength: gamma 1/1.5 to 1.5 (log-uniform), gain 0.8 to 1.2, offset -0.1 to 0.1 of the window,
noise of standard deviation 0 to 0.06 of the window, blur of standard deviation 0 to 1 pixel. In a window of 80 HU
the noise is up to 5 HU, as in clinical slices, and the level off by up to 8 HU, twice what quality control accepts.
"""

_BOUNDS = {"shift": 0.5, "rotate": 180.0, "zoom": 0.5, "scanner": 1.0}


@dataclass(frozen=True)
class Augmentation:
    """The choices of a job; each image draws its own values, uniformly within the ranges.

    flip: mirror left and right, axis 3 of (N, C, H, W) and of (N, C, H, W, D), in half of the images.
    shift: along every axis, up to this part of its length, 0 to 0.5.
    rotate: within the slice (H, W), up to this many degrees either way, 0 to 180.
    zoom: enlarge by 1 - zoom to 1 + zoom, 0 to 0.5.
    scanner: strength of the scanner augmentation, 0 (off) to 1 (gamma, gain, offset, noise and blur at full range).
    """

    flip: bool = True
    shift: float = 0.06
    rotate: float = 10.0
    zoom: float = 0.08
    scanner: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.flip, bool):
            raise Refused(f"augment: flip is {self.flip!r}; it must be true or false")
        for name, most in _BOUNDS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
                raise Refused(f"augment: {name} is {value!r}; it must be a number from 0 to {most:g}")


def augmenter(a: Augmentation, dims: int) -> Augment:
    """A function from ((N, C, H, W[, D]) float32 in [0, 1], generator) to a new batch like it.

    The result depends on the batch and the generator alone; on one thread it is bit-identical.
    Space that a movement uncovers is 0, as air is in every window.
    """
    if dims not in (2, 3):
        raise Refused(f"dims is {dims}; scans are slices (2) or volumes (3)")
    scanner = rand_scanner(a.scanner) if a.scanner else None
    moves = a.flip or a.shift or a.rotate or a.zoom

    def augment(images: Tensor, rng: np.random.Generator) -> Tensor:
        _check(images, dims)
        moved = _moved(images, _movements(a, images.shape, rng)) if moves else images.clone()
        if scanner is not None:
            # A RandomState around the same bit generator lets MONAI draw from the stream that was given.
            moved = scanner.set_random_state(state=np.random.RandomState(rng.bit_generator))(moved)
        return moved.clamp_(0, 1)

    return augment


def paired_augmenter(a: Augmentation, dims: int) -> Callable[[Tensor, Tensor, np.random.Generator], Any]:
    """A function from (images, masks, generator) to new ones: masks (N, F, H, W[, D]) move as their images do.

    Masks stay 0 and 1; one that is NaN, unknown, stays so. What a movement uncovers is in no mask.
    """
    images_alone = augmenter(Augmentation(False, 0.0, 0.0, 0.0, a.scanner), dims)

    def augment(images: Tensor, masks: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        _check(images, dims)
        matrices = _movements(a, images.shape, rng)
        unknown = masks.flatten(2).isnan().any(2)
        moved = (_moved(masks.nan_to_num(0.0), matrices) >= 0.5).to(masks)
        moved[unknown] = torch.nan
        return images_alone(_moved(images, matrices).clamp_(0, 1), rng), moved

    return augment


def rand_scanner(strength: float) -> Any:
    """The scanner augmentation as a MONAI transform of a batch (N, C, H, W[, D]) in [0, 1]; strength in [0, 1].

    The class stands in here because importing MONAI takes seconds that only a job with augmentation should pay.
    """
    from monai.transforms import RandomizableTransform

    class RandScanner(RandomizableTransform):  # type: ignore[misc]  # MONAI is untyped
        def randomize(self, data: Tensor) -> None:
            self.draw = _draw(data, strength, self.R)

        def __call__(self, data: Tensor) -> Tensor:
            self.randomize(data)
            return _scanned(data, self.draw)

    return RandScanner()


@dataclass(frozen=True)
class _Scanner:
    """One scanner an image, the same for all its channels: (N, 1, 1, 1[, 1]) each; noise (N, 1, H, W[, D])."""

    gamma: Tensor
    gain: Tensor
    offset: Tensor
    noise: Tensor
    blur: Tensor


def _draw(images: Tensor, strength: float, random: np.random.RandomState) -> _Scanner:
    each = (len(images), *[1] * (images.ndim - 1))

    def on(values: Any) -> Tensor:
        return torch.as_tensor(values, dtype=images.dtype, device=images.device)

    noise = random.uniform(0, strength * NOISE, each) * random.standard_normal((each[0], 1, *images.shape[2:]))
    return _Scanner(
        gamma=on(GAMMA ** random.uniform(-strength, strength, each)),
        gain=on(1 + random.uniform(-strength, strength, each) * GAIN),
        offset=on(random.uniform(-strength, strength, each) * OFFSET),
        noise=on(noise),
        blur=on(random.uniform(0, strength * BLUR, each)),
    )


def _scanned(images: Tensor, scanner: _Scanner) -> Tensor:
    """Noise comes before the blur: a soft reconstruction kernel smooths both."""
    seen = scanner.gain * images**scanner.gamma + scanner.offset + scanner.noise
    for axis in range(2, images.ndim):
        seen = _blurred(seen, scanner.blur.flatten(), axis)
    return seen.clamp_(0, 1)


def _blurred(images: Tensor, deviation: Tensor, axis: int) -> Tensor:
    """Gaussian along one axis, a matrix for each image; its rows sum to 1 at the border too. deviation: (N,) pixels."""
    place = torch.arange(images.shape[axis], dtype=images.dtype, device=images.device)
    # A tenth of a pixel is the identity to the accuracy of float32, and spares a division by 0.
    distance = (place[:, None] - place) / deviation.clamp(min=0.1)[:, None, None]
    matrix = (distance.square() * -0.5).softmax(dim=-1)
    lines = images.movedim(axis, -1)
    flat = lines.reshape(len(images), -1, lines.shape[-1]) @ matrix.mT
    return flat.reshape(lines.shape).movedim(-1, axis)


def _movements(a: Augmentation, shape: torch.Size, rng: np.random.Generator) -> NDArray[np.float64]:
    """(N, d, d+1): for each image the matrix from a pixel of the result to its place in the image, centre at 0.

    It moves by the shift, then zooms and mirrors, then rotates the first two axes.
    """
    count, _, *size = shape
    dims = len(size)
    angles = np.radians(rng.uniform(-a.rotate, a.rotate, count))
    factors = 1 / rng.uniform(1 - a.zoom, 1 + a.zoom, (count, 1)).repeat(dims, axis=1)
    factors[rng.random(count) < 0.5 * a.flip, 1] *= -1
    shifts = rng.uniform(-a.shift, a.shift, (count, dims)) * size
    turns = np.broadcast_to(np.eye(dims), (count, dims, dims)).copy()
    cosines, sines = np.cos(angles), np.sin(angles)
    turns[:, :2, :2] = np.stack([cosines, -sines, sines, cosines], 1).reshape(count, 2, 2)
    linear = turns * factors[:, None]
    return np.concatenate([linear, linear @ shifts[:, :, None]], 2)


def _moved(images: Tensor, matrices: NDArray[np.float64]) -> Tensor:
    """The images as seen through these matrices of pixels, linearly interpolated."""
    half = np.array(images.shape[2:]) / 2
    scaled = matrices * np.append(half, 1) / half[:, None]
    # PyTorch's grids name the last axis first
    axes = [*range(len(half))][::-1]
    theta = torch.from_numpy(scaled[:, axes][:, :, [*axes, len(half)]]).to(images)
    return grid_sample(images, affine_grid(theta, list(images.shape), align_corners=False), align_corners=False)


def _check(images: Tensor, dims: int) -> None:
    if images.ndim != dims + 2 or not len(images) or images.dtype != torch.float32:
        wanted = "(N, C, H, W)" if dims == 2 else "(N, C, H, W, D)"
        raise Refused(f"images are {images.dtype} {tuple(images.shape)}; augmentation needs float32 {wanted}, N >= 1")
    least, most = images.aminmax()
    if not (least >= 0 and most <= 1):
        raise Refused(f"images reach from {least:g} to {most:g}; window them to [0, 1] first")

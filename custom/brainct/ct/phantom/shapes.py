"""Shapes as signed depths in mm (positive inside), and how they are painted as shares of a pixel."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float64]

Paint = tuple[Field, Field | float]
"""The covered share of each pixel in [0, 1], and the HU of what covers it."""


@dataclass(frozen=True)
class Frame:
    """The coordinates of each pixel in mm of the head, (n, n, k); wear: age of the brain, 0 to 1.

    axes: the image's own axes in mm. pixel: its size in mm. span: heights in mm at which lesions may be.
    """

    x: Field
    y: Field
    z: Field
    axes: tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]
    pixel: float
    span: tuple[float, float]
    wear: float


def edge(inside: Field, soft: float) -> Field:
    """The share of a pixel `soft` mm wide that is inside, from its depth in mm."""
    return np.clip(0.5 + inside / soft, 0.0, 1.0)


def paint(hu: Field, layers: Iterable[Paint]) -> Field:
    """Paint the layers over the image in HU, one after the other."""
    for share, tissue in layers:
        hu = hu + share * (tissue - hu)
    return hu


def waves(rng: np.random.Generator, frame: Frame, length: float, count: int = 20) -> Field:
    """Draw a smooth random field of unit variance with wavelengths around `length` mm, the same at every resolution."""
    way = rng.normal(size=(count, 3))
    way *= (2 * np.pi / length * rng.uniform(0.6, 1.5, count) / np.linalg.norm(way, axis=1))[:, None]
    down, right, up = (np.outer(axis, way[:, i]) for i, axis in enumerate(frame.axes))
    turn = down + (up + rng.uniform(0, 2 * np.pi, count))[:, None, :]
    one, two = np.concatenate([np.cos(turn), -np.sin(turn)], -1), np.concatenate([np.cos(right), np.sin(right)], -1)
    field: Field = np.einsum("kim,jm->kij", one, two) * np.sqrt(2 / count)
    return np.ascontiguousarray(np.moveaxis(field, 0, -1))


def distance(x: Field, y: Field, z: Field | float = 0.0) -> Field:
    """Length in mm of the offsets (x, y, z) of each pixel."""
    squared: Field = np.square(x) + np.square(y) + np.square(z)
    return np.sqrt(squared)


def segment(x: Field, y: Field, start: tuple[float, float], end: tuple[float, float]) -> Field:
    """Distance in mm of each pixel from the segment between two points."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    along = np.clip(((x - start[0]) * dx + (y - start[1]) * dy) / (dx * dx + dy * dy), 0.0, 1.0)
    return distance(x - start[0] - along * dx, y - start[1] - along * dy)


def swell(z: Field, middle: float, half: float) -> Field:
    """Radius at height z mm of a unit ball with half-axis `half` mm: 1 at its middle, negative above and below it."""
    inside = 1.0 - ((z - middle) / half) ** 2
    return np.sign(inside) * np.sqrt(np.abs(inside))

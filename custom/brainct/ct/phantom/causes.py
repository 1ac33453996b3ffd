"""Phantom patients of whom it is known what caused what: for checking searches for causes on tables made of scans.

The graph, EDGES: age and clotting (INR) make a bleeding large, its volume pushes the midline and brightens the brain,
age darkens it, and age and volume decide the outcome. Patients are the same at all sites; only the scanner differs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from brainct.ct.phantom.draw import stream_of
from brainct.ct.phantom.render import Masks, render
from brainct.ct.phantom.scanners import Scanner
from brainct.ct.phantom.shapes import Field
from brainct.ct.phantom.studies import SLICE_MM

AGE, INR = (62.0, 11.0), (1.3, 0.3)
"""Mean and standard deviation of all patients."""
COLUMNS = ("age", "inr", "volume", "shift_mm", "mean_hu", "outcome")
EDGES = (
    ("age", "volume"),
    ("inr", "volume"),
    ("volume", "shift_mm"),
    ("volume", "mean_hu"),
    ("age", "mean_hu"),
    ("age", "outcome"),
    ("volume", "outcome"),
)
KIND, SIZE = "intraparenchymal", 48
LOWEST = 12.0
"""Height in mm of the lowest slice: the ventricles are shown."""


@dataclass(frozen=True)
class Patient:
    """age in years; outcome: higher is worse. hu (n, n, k), masks (5, n, n, k), as in `render`."""

    age: float
    inr: float
    outcome: float
    hu: NDArray[np.float32]
    masks: Masks


def patients(
    site: str, count: int, scanner: Scanner, seed: int = 0, size: int = SIZE, slices: int = 3
) -> Iterator[Patient]:
    """So many patients of a site, each with one bleeding in the brain, on this scanner."""
    levels: Field = LOWEST + SLICE_MM * np.arange(slices, dtype=np.float64)
    for at in range(count):
        own = stream_of(seed, site, at, "causes")
        old, thin, push, ends = own.normal(size=4)
        age = float(np.clip(AGE[0] + AGE[1] * old, 30, 90))
        inr = float(np.clip(INR[0] + INR[1] * thin, 0.6, 2.2))
        difficulty = 2.0 * float(np.exp(-0.3 * (age - AGE[0]) / AGE[1] - 0.3 * (inr - INR[0]) / INR[1]))
        aged = replace(scanner, age=(age, 0.0))
        span = (float(levels[0]), float(levels[-1]))
        still, masks = render(stream_of(seed, site, at), aged, [KIND], size, levels, difficulty, span)
        volume = volume_ml(masks, scanner, size)
        side = -1.0 if masks[..., size // 2 :, :].sum() * 2 > masks.sum() else 1.0
        shift = side * max(0.0, 1.0 + 0.25 * volume + 0.7 * push)
        pushed, masks = render(stream_of(seed, site, at), aged, [KIND], size, levels, difficulty, span, shift)
        outcome = 0.06 * (age - AGE[0]) + 0.15 * volume + float(ends)
        yield Patient(age, inr, outcome, pushed, masks)


def volume_ml(masks: Masks, scanner: Scanner, size: int) -> float:
    """Blood of all kinds, millilitres."""
    pixel = scanner.pixel_mm * 96 / size
    return float(masks.any(0).sum()) * pixel * pixel * SLICE_MM / 1000

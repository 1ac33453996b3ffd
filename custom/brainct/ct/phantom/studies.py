"""Several slices of each phantom head, with the masks of what bleeds in them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainct.ct.folds import FINDINGS
from brainct.ct.phantom.anatomy import ROOF
from brainct.ct.phantom.draw import kinds_of, level_of, positives_of, stream_of
from brainct.ct.phantom.hemorrhage import BLEEDS
from brainct.ct.phantom.render import Masks, render
from brainct.ct.phantom.scanners import Scanner, scanner_of
from brainct.ct.phantom.shapes import Field
from brainct.ct.site_choices import PhantomChoices

SLICE_MM = 5.0
"""Distance of two slices."""

LEAST = 3
"""Pixels of blood from which on a slice counts as having a bleeding."""

Study = tuple[NDArray[np.float32], Masks]
"""HU (size, size, slices) and masks (5, size, size, slices)."""


def studies(
    site: str, chosen: PhantomChoices, size: int, slices: int, scanner: Scanner | None = None, volume: bool = False
) -> list[Study]:
    """`chosen.scans` heads of a site, so many slices SLICE_MM apart of each; which of them bleed is as in `phantom`.

    volume: the slices span the brain, as those of `volume_hu`, in place of a part of it.
    """
    scanner = scanner or scanner_of(site)
    share = scanner.prevalence if chosen.prevalence is None else chosen.prevalence
    drawn = []
    for at, bleeding in enumerate(positives_of(site, chosen.scans, chosen.seed, share)):
        rng = stream_of(chosen.seed, site, at)
        middle = level_of(rng)
        levels: Field = middle + SLICE_MM * (np.arange(slices, dtype=np.float64) - (slices - 1) / 2)
        if volume:
            levels = np.linspace(-4.0, 72.0, slices, dtype=np.float64)
        kinds = kinds_of(stream_of(chosen.seed, site, at, "kind"), scanner.mix, bool(levels[0] < ROOF - 6))
        names = [name for name, there in zip(BLEEDS, kinds, strict=False) if there and bleeding]
        span = (8.0, 46.0) if volume else (float(levels[0]), float(levels[-1]))
        drawn.append(render(rng, scanner, names, size, levels, chosen.difficulty, span, detail=chosen.detail))
    return drawn


def slice_labels(masks: NDArray[Any]) -> NDArray[np.float32]:
    """(6,) 0 and 1 in the order of FINDINGS, from the masks (5, ...) of a slice or of a volume."""
    kinds = masks.reshape(len(masks), -1).sum(1) >= LEAST
    assert len(kinds) == len(FINDINGS) - 1
    return np.append(kinds, kinds.any()).astype(np.float32)


def spacing_of(scanner: Scanner, size: int, dims: int) -> tuple[float, ...]:
    """Millimetres per pixel along each axis of a slice, or of a volume of as many slices as pixels."""
    pixel = scanner.pixel_mm * 96 / size
    return (pixel, pixel, 76.0 / (size - 1))[:dims]

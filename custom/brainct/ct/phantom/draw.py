"""Draws a slice, a volume, or all scans of a site."""

import hashlib
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from brainct.ct.folds import FINDINGS
from brainct.ct.phantom.anatomy import ROOF
from brainct.ct.phantom.details import check_details
from brainct.ct.phantom.hemorrhage import BLEEDS
from brainct.ct.phantom.render import render
from brainct.ct.phantom.scanners import SCANNERS, Scanner, scanner_of
from brainct.ct.phantom.shapes import Field
from brainct.errors import Refused

TOP_SLICE = 60.0
"""Height in mm above the basal ganglia of the highest slice, near the vertex."""


def _render(
    rng: np.random.Generator,
    scanner: Scanner,
    bleeds: Collection[str],
    size: int,
    levels: Field,
    difficulty: float,
    detail: Collection[str],
) -> NDArray[np.float32]:
    """Draw one head at the heights `levels` in mm."""
    span = (float(levels[0]), float(levels[0])) if len(levels) == 1 else (8.0, 46.0)
    return render(rng, scanner, bleeds, size, levels, difficulty, span, detail=detail)[0]


def _check_choices(size: int, difficulty: float, bleeds: Collection[str] = (), detail: Collection[str] = ()) -> None:
    check_details(detail)
    if size < 32:
        raise Refused(f"phantom: size is {size}; a head needs at least 32 pixels; give size >= 32")
    if not difficulty > 0 or not np.isfinite(difficulty):
        raise Refused(f"phantom: difficulty is {difficulty}; it must be more than 0; give 1.0 for the measured default")
    if unknown := sorted(set(bleeds) - set(BLEEDS)):
        raise Refused(f"phantom: unknown bleeds {', '.join(unknown)}; known are {', '.join(BLEEDS)}; use only these")


def level_of(rng: np.random.Generator) -> float:
    """The height in mm of a slice: the first random number of `slice_hu`."""
    return float(rng.uniform(0.0, TOP_SLICE))


def slice_hu(
    rng: np.random.Generator,
    scanner: Scanner,
    bleeds: Collection[str],
    size: int = 96,
    difficulty: float = 1.0,
    detail: Collection[str] = (),
) -> NDArray[np.float32]:
    """Draw one axial slice, (size, size) in HU, between the basal ganglia and the vertex.

    The head, the scanner's grain and each bleeding are the same for the same state of `rng` whatever else bleeds,
    unless a detail has blood push the brain aside. detail: names of DETAILS.
    """
    _check_choices(size, difficulty, bleeds, detail)
    return _render(rng, scanner, bleeds, size, np.array([level_of(rng)]), difficulty, detail)[:, :, 0]


def volume_hu(
    rng: np.random.Generator,
    scanner: Scanner,
    bleeds: Collection[str],
    size: int = 48,
    depth: int = 48,
    difficulty: float = 1.0,
    detail: Collection[str] = (),
) -> NDArray[np.float32]:
    """Draw one head, (size, size, depth) in HU, its slices in order from the basal ganglia to the vertex."""
    _check_choices(size, difficulty, bleeds, detail)
    if depth < 2:
        raise Refused(f"phantom: depth is {depth}; a volume needs at least 2 slices; give depth >= 2 or use slice_hu")
    return _render(rng, scanner, bleeds, size, np.linspace(-4.0, 72.0, depth), difficulty, detail)


def stream_of(*words: object) -> np.random.Generator:
    digest = hashlib.sha256("/".join(map(str, words)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def positives_of(site: str, scans: int, seed: int, share: float) -> NDArray[np.bool_]:
    """Which scans bleed: the rounded share of them, those with the lowest random numbers."""
    count = round(share * scans)
    if scans >= 4 and 0 < share < 1:
        count = min(max(count, 1), scans - 1)
    order = np.argsort([stream_of(seed, site, i, "bleeds").random() for i in range(scans)], kind="stable")
    return np.isin(np.arange(scans), order[:count])


def kinds_of(rng: np.random.Generator, mix: tuple[float, ...], hollow: bool) -> NDArray[np.float32]:
    """Draw which of the five bleed: one by the mix, in one of four a second. hollow: whether ventricles are shown."""
    shown = np.array(mix, float) * [1, 1, hollow, 1, 1]
    weights = shown if shown.any() else np.array(mix, float)
    count = min(1 + int(rng.random() < 0.25), int(np.count_nonzero(weights)))
    found = np.zeros(6, np.float32)
    found[rng.choice(5, count, replace=False, p=weights / weights.sum())] = found[5] = 1
    return found


def public_phantom(
    scans: int, seed: int = 0, size: int = 96, dims: int = 2, difficulty: float = 1.0
) -> NDArray[np.float32]:
    """Draw the public scans, HU (scans, size, size[, size]): patients of no site, all scanners in equal shares."""
    shares = [len(range(first, scans, len(SCANNERS))) for first in range(len(SCANNERS))]
    parts = [
        phantom(f"public/{place}", share, seed, size, dims, difficulty)[0]
        for place, share in enumerate(shares, 1)
        if share
    ]
    return np.concatenate(parts)


def phantom(
    site: str,
    scans: int,
    seed: int = 0,
    size: int = 96,
    dims: int = 2,
    difficulty: float = 1.0,
    prevalence: float | None = None,
    scanner: Scanner | None = None,
    detail: Collection[str] = (),
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw a site's scans: HU (N, size, size[, size]) and labels (N, 6) of 0 and 1 in the order of FINDINGS.

    Head, grain and kind of bleeding of scan i depend on SHA-256 of (seed, site, i) alone. Whether it bleeds also
    depends on `scans`: the rounded share `prevalence` (default: the scanner's) bleeds. With 4 scans or more, both
    labels occur unless prevalence is 0 or 1. difficulty > 1 makes bleedings smaller and fainter. detail: names of
    DETAILS, which bring the scans nearer to real ones; labels do not depend on them.
    """
    _check_choices(size, difficulty, detail=detail)
    scanner = scanner or scanner_of(site)
    share = scanner.prevalence if prevalence is None else prevalence
    if scans < 1:
        raise Refused(f"phantom: {site} asks for {scans} scans; a site needs at least 1; give scans >= 1")
    if not 0 <= share <= 1:
        raise Refused(f"phantom: prevalence of {site} is {share}; it is a share; give a number from 0 to 1")
    if dims not in (2, 3):
        raise Refused(f"phantom: dims of {site} is {dims}; give 2 for slices or 3 for volumes")
    labels = np.zeros((scans, len(FINDINGS)), np.float32)
    images = np.zeros((scans, *(size,) * dims), np.float32)
    for i, bleeding in enumerate(positives_of(site, scans, seed, share)):
        if bleeding:
            hollow = dims == 3 or level_of(stream_of(seed, site, i)) < ROOF - 6
            labels[i] = kinds_of(stream_of(seed, site, i, "kind"), scanner.mix, hollow)
        names = [name for name, found in zip(FINDINGS[:5], labels[i], strict=False) if found]
        rng = stream_of(seed, site, i)
        images[i] = (
            slice_hu(rng, scanner, names, size, difficulty, detail)
            if dims == 2
            else volume_hu(rng, scanner, names, size, size, difficulty, detail)
        )
    return images, labels

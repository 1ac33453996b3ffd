"""Draws a slice, a volume, or all scans of a site."""

import hashlib
from collections.abc import Collection
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from brainct.ct.folds import FINDINGS
from brainct.ct.phantom.anatomy import (
    ROOF,
    Head,
    bright_structures,
    head_on,
    healthy_tissue,
    old_infarcts,
    skull_layers,
)
from brainct.ct.phantom.details import Chosen, check_details
from brainct.ct.phantom.details.bleeds import pushed_inside
from brainct.ct.phantom.hemorrhage import BLEEDS, draw_force
from brainct.ct.phantom.scanners import SCANNERS, Scanner, acquired, scanner_of
from brainct.ct.phantom.shapes import Field, Frame, Paint, paint
from brainct.errors import Refused

TOP_SLICE = 60.0
"""Height in mm above the basal ganglia of the highest slice, near the vertex."""


def _frame(rng: np.random.Generator, scanner: Scanner, size: int, levels: Field, span: tuple[float, float]) -> Frame:
    pixel = scanner.pixel_mm * 96 / size
    line = (np.arange(size, dtype=np.float64) - (size - 1) / 2) * pixel
    down, right = -line[:, None, None] + rng.normal(0, 2.5), line[None, :, None] + rng.normal(0, 2.5)
    turn, gantry = np.deg2rad(np.clip(rng.normal(0, scanner.tilt_deg, 2), -15, 15))
    x, y = right * np.cos(turn) - down * np.sin(turn), right * np.sin(turn) + down * np.cos(turn)
    zoom = rng.normal(1, 0.03)
    wear = float(np.clip((rng.normal(*scanner.age) - 30) / 60, 0, 1))
    x, y = x * zoom, y * zoom
    z = levels + y * np.tan(gantry)
    x, y = x + 0 * z, y + 0 * z
    return Frame(x, y, z, (-line, line, levels), pixel, span, wear)


Masks = NDArray[np.bool_]
"""(5, n, n, k): where each kind of bleeding is, in the order of FINDINGS."""


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


def render(
    rng: np.random.Generator,
    scanner: Scanner,
    bleeds: Collection[str],
    size: int,
    levels: Field,
    difficulty: float,
    span: tuple[float, float],
    shift_mm: float = 0.0,
    detail: Collection[str] = (),
) -> tuple[NDArray[np.float32], Masks]:
    """Draw one head at the heights `levels` in mm, and where each kind bleeds: a pixel of which half or more is blood.

    span: heights at which lesions may be. Head, scanner and each bleeding have their own random stream. shift_mm: how
    far what is in the middle of the head is pushed to the image's right; the skull stays. detail: names of DETAILS,
    each with a random stream of its own.
    """
    seeds = rng.integers(2**63, size=3 + len(BLEEDS))
    chosen = Chosen(detail, int(rng.integers(2**63)) if detail else 0)
    drawn = partial(_drawn, seeds, chosen, scanner, bleeds, size, levels, difficulty, span, shift_mm)
    hu, masks = drawn(0.0)
    if push := chosen.shift_mm(masks, scanner.pixel_mm * 96 / size):
        hu, masks = drawn(push)
    return hu, masks


def _drawn(
    seeds: NDArray[np.int64],
    chosen: Chosen,
    scanner: Scanner,
    bleeds: Collection[str],
    size: int,
    levels: Field,
    difficulty: float,
    span: tuple[float, float],
    shift_mm: float,
    push_mm: float,
) -> tuple[NDArray[np.float32], Masks]:
    shape, tissue, machine, *lesions = (np.random.default_rng(seed) for seed in seeds)
    frame = chosen.changed("frame", _frame(shape, scanner, size, levels, span))
    head = chosen.changed("head", head_on(shape, pushed_inside(_pushed(frame, shift_mm), push_mm)))
    hu = np.zeros_like(head.rim)
    for part in (healthy_tissue, old_infarcts, bright_structures):
        hu = paint(hu, part(tissue, head))
    hu = paint(hu, chosen.paints("tissue", head))
    masks = np.zeros((len(BLEEDS), *hu.shape), np.bool_)
    bones = chosen.paints("bone", head)
    for at, (name, stream) in enumerate(zip(BLEEDS, lesions, strict=True)):
        layers = chosen.draw_of(name)(stream, head, draw_force(stream, difficulty)) if name in bleeds else []
        hu = paint(hu, layers)
        if layers:  # the last layer is the blood; what lies under bone is painted over
            masks[at] = (layers[-1][0] >= 0.5) & (head.rim > 0) & _uncovered(bones, head)
    hu = paint(paint(hu, skull_layers(tissue, head)), bones)
    hu = acquired(machine, chosen.changed("scanner", scanner), head, chosen.changed("optics", hu, head))
    return chosen.changed("export", hu, head).astype(np.float32), masks


def _uncovered(bones: Collection[Paint], head: Head) -> NDArray[np.bool_]:
    covered = np.zeros(head.rim.shape, np.bool_)
    for share, _ in bones:
        covered |= share >= 0.5
    return ~covered


def _pushed(frame: Frame, shift_mm: float) -> Frame:
    if not shift_mm:
        return frame
    return replace(frame, x=frame.x - shift_mm * np.exp(-((frame.x / 35) ** 2)))


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

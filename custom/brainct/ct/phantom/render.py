"""Renders one head: shaped, painted, bled into, covered with bone, and taken by its scanner."""

from collections.abc import Collection
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from brainct.ct.phantom.anatomy import Head, bright_structures, head_on, healthy_tissue, old_infarcts, skull_layers
from brainct.ct.phantom.details import Chosen
from brainct.ct.phantom.details.bleeds import pushed_inside
from brainct.ct.phantom.hemorrhage import BLEEDS, draw_force
from brainct.ct.phantom.scanners import Scanner, acquired
from brainct.ct.phantom.shapes import Field, Frame, Paint, paint


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

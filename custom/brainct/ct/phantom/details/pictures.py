"""Details of the picture: fine grain, beam hardening, motion, the export's window, and what is written into it."""

from dataclasses import replace

import numpy as np
from scipy.ndimage import shift

from brainct.ct.phantom.anatomy import Head
from brainct.ct.phantom.details.detail import Detail, Rng
from brainct.ct.phantom.scanners import Scanner
from brainct.ct.phantom.shapes import Field, edge, segment, swell

WINDOW = (40.0, 80.0)
"""Level and width in HU in which a picture is read."""


def _fine(rng: Rng, scanner: Scanner) -> Scanner:
    return replace(
        scanner, noise_hu=scanner.noise_hu * rng.uniform(0.1, 0.6), psf_mm=scanner.psf_mm * rng.uniform(0.6, 1.0)
    )


def _hardened(rng: Rng, hu: Field, head: Head) -> Field:
    """A bright rim under the bone, a dark band between the petrous bones, and streaks from the inner occiput."""
    frame, inside = head.frame, head.rim > 0
    rim = rng.uniform(2, 14) * np.exp(-np.maximum(head.rim, 0) / rng.uniform(2, 5))
    band = edge(rng.uniform(6, 14) - segment(frame.x, frame.y, (-60, -14), (60, -14)), 8)
    dark = rng.uniform(4, 15) * np.clip(swell(frame.z, -24, 26), 0, 1) * band
    angle = np.arctan2(frame.y + 74, frame.x)
    streaks = np.zeros_like(hu)
    for _ in range(int(rng.integers(0, 5))):
        away = np.abs(angle - rng.uniform(0.3, np.pi - 0.3)) * np.hypot(frame.x, frame.y + 74)
        streaks += rng.normal(0, 5) * edge(rng.uniform(1, 3) - away, 2)
    return hu + inside * (rim - dark + streaks)


def _moved(rng: Rng, hu: Field, head: Head) -> Field:
    """Shadows of the head at one or two other places."""
    there, pixel = rng.random() < 0.35, head.frame.pixel
    for _ in range(int(rng.integers(1, 3))):
        turn, far, part = rng.uniform(0, 2 * np.pi), rng.uniform(1, 5) / pixel, rng.uniform(0.15, 0.45)
        if there:
            ghost = shift(hu, (far * np.sin(turn), far * np.cos(turn), 0), order=1, mode="nearest")
            hu = np.asarray(hu + part * (ghost - hu))
    return hu


def _windowed(rng: Rng, hu: Field, head: Head) -> Field:
    level, width = rng.uniform(30, 45), np.exp(rng.uniform(np.log(70), np.log(160)))
    return np.asarray(np.clip(WINDOW[0] + (hu - level) * WINDOW[1] / width, -1024, 3071))


def _marked(rng: Rng, hu: Field, head: Head) -> Field:
    """Letters of one to three strokes near the picture's edge, and the shell of the head rest."""
    down, right = (np.broadcast_to(axis, hu.shape) for axis in _axes(head))
    outside, bright = head.scalp < -2, rng.uniform(60, 400)
    ink = np.zeros(hu.shape, bool)
    for _ in range(int(rng.integers(0, 5))):
        x, y = rng.choice((-1, 1)) * rng.uniform(62, 88), rng.choice((-1, 1)) * rng.uniform(45, 88)
        for _ in range(int(rng.integers(1, 4))):
            start, end = rng.uniform(-5, 5, 2), rng.uniform(-5, 5, 2)
            ink |= segment(right - x, down - y, (start[0], start[1]), (end[0], end[1])) < 1.5
    rest = np.abs(head.scalp + rng.uniform(4, 14)) < rng.uniform(1, 2.5)
    shell = rest & (down < -40) & (rng.random() < 0.3)
    return np.where(outside & (ink | shell), bright, hu)


def _axes(head: Head) -> tuple[Field, Field]:
    rows, columns, _ = head.frame.axes
    return np.asarray(rows)[:, None, None], np.asarray(columns)[None, :, None]


FINE = Detail(
    "noise and blur of a fine picture made small: 10 to 60 % of the noise, 60 to 100 % of the blur", scanner=_fine
)
BEAM_HARDENING = Detail(
    "2 to 14 HU more within 2 to 5 mm of the bone, a band 4 to 15 HU darker between the petrous bones, streaks of 5 HU",
    optics=_hardened,
)
MOTION = Detail("in 35 % of the scans shadows of the head, 1 to 5 mm away, of 15 to 45 %", optics=_moved)
WINDOWS = Detail(
    "a window of its own, level 30 to 45, width 70 to 160 HU, read as if it were level 40, width 80: no HU any more",
    export=_windowed,
)
MARKS = Detail("letters and the head rest's shell outside the head, 60 to 400 HU", export=_marked)

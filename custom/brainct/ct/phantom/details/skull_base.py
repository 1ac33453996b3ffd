"""Slices below the basal ganglia, with the bones, the air and the cisterns there."""

from dataclasses import replace

import numpy as np

from brainct.ct.phantom.anatomy import Head
from brainct.ct.phantom.details.detail import Detail, Rng
from brainct.ct.phantom.shapes import Field, Frame, Paint, distance, edge, segment, swell

LOWEST, HIGHEST = -30.0, -4.0
"""Heights in mm above the basal ganglia of the slices through the base."""

SHARE = 0.3
"""Of the slices."""

MOST = 40.0
"""Thickness in mm of a stack of slices that still fits there; thicker ones keep their heights."""


def _lowered(rng: Rng, frame: Frame) -> Frame:
    there, height = rng.random() < SHARE, rng.uniform(LOWEST, HIGHEST)
    levels = frame.axes[2]
    if not there or np.ptp(levels) > MOST:
        return frame
    down = height - float(np.mean(levels))
    low, high = frame.span
    return replace(frame, z=frame.z + down, span=(low + down, high + down))


def _fourth(rng: Rng, head: Head) -> Head:
    frame = head.frame
    wide = rng.uniform(4.5, 7) + 2 * frame.wear
    hollow = wide * swell(frame.z, -25, 20) - distance(frame.x, 1.2 * (frame.y + 37))
    return replace(head, ventricle=np.maximum(head.ventricle, hollow))


def star(frame: Frame, thick: float) -> Field:
    """Depth in mm inside the cisterns around the midbrain: arms to the front, the Sylvian fissures and the back."""
    side = np.abs(frame.x)
    arms = [((0, 14), (0, 36)), ((0, 14), (22, 20)), ((4, 10), (17, -6)), ((17, -6), (13, -24))]
    nearest = np.min([segment(side, frame.y, start, end) for start, end in arms], axis=0)
    return np.asarray(thick * swell(frame.z, -12, 14) - nearest)


def _cisterns(rng: Rng, head: Head) -> list[Paint]:
    soft, thick = head.frame.pixel, rng.uniform(1.5, 3.0) + 1.5 * head.frame.wear
    inside = edge(head.rim - 1, soft)
    return [
        (edge(star(head.frame, thick), soft) * inside, rng.uniform(4, 9)),
        (edge(head.ventricle, soft) * inside, rng.uniform(4, 8)),
    ]


def _bones(rng: Rng, head: Head) -> list[Paint]:
    """Petrous pyramids, sphenoid wings, sinuses, and orbits, each where its height is."""
    frame, soft, z = head.frame, head.frame.pixel, head.frame.z
    side, inside = np.abs(frame.x + rng.normal(0, 1)), edge(head.bone, soft)
    petrous = rng.uniform(4, 7) * swell(z, -30, 20) - segment(side, frame.y, (64, -24), (18, 2))
    wing = rng.uniform(2, 4) * swell(z, -26, 18) - segment(side, frame.y, (62, 22), (18, 34))
    orbit = rng.uniform(17, 21) * swell(z, -34, 22) - distance(side - 32, frame.y - 66)
    globe = 11.5 * swell(z, -34, 16) - distance(side - 33, frame.y - 74)
    sinus = rng.uniform(8, 12) * swell(z, -34, 18) - distance(frame.x, 0.6 * (frame.y - 46))
    cells = rng.uniform(5, 9) * swell(z, -34, 20) - distance(side - 60, frame.y + 30)
    return [
        (edge(petrous, soft) * inside, rng.uniform(700, 1300)),
        (edge(wing, soft) * inside, rng.uniform(600, 1100)),
        (edge(orbit + 2, soft) * inside, rng.uniform(600, 1100)),
        (edge(orbit, soft) * inside, -80.0),
        (edge(globe, soft) * inside, rng.uniform(8, 20)),
        (edge(sinus + 2, soft) * inside, rng.uniform(500, 900)),
        (edge(sinus, soft) * inside, -900.0),
        (edge(cells, soft) * inside, rng.uniform(-700, -200)),
    ]


SKULL_BASE = Detail(
    "three slices in ten lie 4 to 30 mm below the basal ganglia: fourth ventricle, cisterns, petrous bones, sphenoid, "
    "orbits, sinuses",
    frame=_lowered,
    head=_fourth,
    tissue=_cisterns,
    bone=_bones,
)

"""Details of the bleeding: irregular clots, other crescents, blood in the cisterns, and what a mass pushes aside."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from brainct.ct.phantom.anatomy import Head
from brainct.ct.phantom.details.detail import Detail, Rng
from brainct.ct.phantom.details.skull_base import star
from brainct.ct.phantom.hemorrhage import along_bone, clot_hu
from brainct.ct.phantom.shapes import Field, Frame, Paint, distance, edge, waves

SWIRL = 0.30
"""Share of clots in the brain with darker parts: Selariu et al., BMC Neurology 12:109, 2012."""

PUSH = (0.05, 0.25)
"""Midline shift for each mm of the blood's diameter: 40 mm give 2 to 10 mm. More than 5 mm is a reason to operate
(Bullock et al., Neurosurgery 58 suppl. 3:S2-16, 2006)."""

FURTHEST = 14.0
"""The largest shift in mm."""


def _swirled(rng: Rng, head: Head, force: float) -> Field:
    """HU of a clot, of which some have darker parts, and few have settled: darker in front than behind."""
    clot = clot_hu(rng, head, 56, 82, force)
    patchy, dark, kind = waves(rng, head.frame, 16), rng.uniform(36, 48), rng.random()
    if kind < SWIRL:
        return clot + edge(patchy - 0.5, 0.5) * (np.minimum(clot, dark) - clot)
    return clot - 12 * edge(head.frame.y - rng.uniform(-20, 20), 4) if kind < SWIRL + 0.1 else clot


def _centre(rng: Rng, head: Head, deep: bool) -> tuple[float, float, float]:
    side, high = rng.choice((-1.0, 1.0)), rng.uniform(*head.frame.span)
    turn, lobe = rng.uniform(-1.2, 1.2), rng.uniform(0.35, 0.75)
    if deep:
        return side * rng.uniform(12, 30), rng.uniform(-12, 22), high
    close = np.sqrt(1 - (max(high + 8, 0) / 96) ** 2.4)
    return side * 66 * lobe * close * np.cos(turn), 80 * lobe * close * np.sin(turn), high


def _lobes(rng: Rng, head: Head, force: float) -> list[Paint]:
    """One to five balls that flow together, in a ring of oedema; one in five is a group of small contusions."""
    frame, soft = head.frame, head.frame.pixel
    spread = rng.random() < 0.2
    deep = rng.random() < 0.4 and frame.span[0] < 25 and not spread
    x, y, z = _centre(rng, head, deep)
    radius = force * rng.uniform(7, 17) * (0.45 if spread else 1.0)
    away = (1.6 if spread else 0.6) * radius
    ball = np.full_like(head.rim, -1e3)
    for at in range(int(rng.integers(2, 6))):
        shift = rng.normal(0, away, 3) * (at > 0)
        off = distance(frame.x - x - shift[0], (frame.y - y - shift[1]) * rng.uniform(0.7, 1.1), frame.z - z - shift[2])
        ball = np.maximum(ball, radius * (rng.uniform(0.4, 0.9) if at else 1.0) - off)
    ball = ball + 0.15 * radius * waves(rng, frame, 8 + radius)
    inside = edge(head.rim - (0.5 if spread else 2), soft)
    ring = edge(ball + rng.uniform(2, 12), 1.5 * soft) * inside * (1 - edge(head.ventricle, soft))
    return [(0.9 * ring, rng.uniform(15, 24)), (edge(ball, soft) * inside, _swirled(rng, head, force))]


def _crescents(rng: Rng, head: Head, force: float) -> list[Paint]:
    """Over one hemisphere, both, or along the falx; acute, old, or both in one, with the fresh blood behind."""
    frame, soft = head.frame, head.frame.pixel
    side, age, place = rng.choice((0.0, np.pi)), rng.random(), rng.random()
    high, wide = force * rng.uniform(4, 13), np.sqrt(force) * rng.uniform(50, 115)
    lean, uneven = rng.normal(0, 0.5), 1 + 0.25 * waves(rng, frame, 60)
    crescent = high * uneven * (1 - (along_bone(rng, head, side + lean) / wide) ** 4) - head.rim
    share = edge(crescent, soft) * (1.0 if place < 0.12 else edge(frame.x * np.cos(side) - 2, soft))
    if place > 0.85:
        x, reach = frame.x * np.cos(side), np.abs(frame.y - rng.uniform(-20, 20)) - rng.uniform(25, 50)
        half = min(0.3 * high, 4.0)
        falx = half + 1 - np.abs(x - half) - np.maximum(0, reach)
        share = edge(falx, soft) * edge(head.rim, soft) * edge(frame.z - 6, 8)
    if age < 0.25:
        return [(share, clot_hu(rng, head, 36, 50, 1.0))]
    fresh, settled = clot_hu(rng, head, 55, 78, force), edge(rng.uniform(-30, 20) - frame.y, 25)
    return [(share, fresh if age < 0.7 else 38 + (fresh - 38) * settled)]


def _cisterns(rng: Rng, head: Head, force: float) -> list[Paint]:
    """Blood in sulci and fissures, of a sector or of the whole head, and in the cisterns around the midbrain."""
    frame, soft = head.frame, head.frame.pixel
    whole, centre = rng.random() < 0.45, rng.choice((0.0, np.pi)) + rng.normal(0, 0.8)
    sector = edge(np.sqrt(force) * rng.uniform(28, 70) - along_bone(rng, head, centre), 10)
    wide = 0.7 + 0.8 * force + frame.wear
    film = np.maximum(wide - head.fissures, 0.8 * force + frame.wear - head.rim)
    share = edge(film, soft) * (1.0 if whole else sector) * edge(rng.uniform(18, 45) - head.rim, 6)
    pools = np.maximum(edge(head.pool, soft), edge(star(frame, 1.5 + 1.5 * force + frame.wear), soft))
    share = np.maximum(share, pools) * edge(head.rim, soft)
    return [(share, clot_hu(rng, head, 48, 68, force))]


def _pushed(rng: Rng, masks: NDArray[np.bool_], pixel: float) -> float:
    """Away from the side with more blood, by a share of the diameter of a disc of the blood's largest area."""
    blood: NDArray[np.bool_] = np.any(masks, axis=0)
    middle = blood.shape[1] // 2
    left, right = int(blood[:, :middle].sum()), int(blood[:, middle:].sum())
    area = float(blood.sum((0, 1)).max()) * pixel**2 * abs(left - right) / max(left + right, 1)
    away = min(FURTHEST, rng.uniform(*PUSH) * 2 * np.sqrt(area / np.pi))
    return float(away if left > right else -away)


def pushed_inside(frame: Frame, push_mm: float) -> Frame:
    """The coordinates of a head whose middle is pushed to the image's right; falx and bone stay in front and behind."""
    if not push_mm:
        return frame
    return replace(frame, x=frame.x - push_mm * np.exp(-((frame.x / 35) ** 2) - (frame.y / 55) ** 4))


LOBES = Detail(
    "blood in the brain in up to five lobes with up to 12 mm of oedema, 30 % with darker parts, and contusions",
    bleeds={"intraparenchymal": _lobes},
)
CRESCENTS = Detail(
    "subdural blood over one or both hemispheres or along the falx; acute, old, or settled with fresh blood behind",
    bleeds={"subdural": _crescents},
)
CISTERNS = Detail(
    "subarachnoid blood in the cisterns around the midbrain, and in 45 % in the sulci of the whole head",
    bleeds={"subarachnoid": _cisterns},
)
MASS_EFFECT = Detail(
    "blood pushes the middle of the head away, by 5 to 25 % of its diameter, 14 mm at most", shift=_pushed
)

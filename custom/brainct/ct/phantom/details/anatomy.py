"""Details of the anatomy: worn brains, more sulci, calcifications, and swollen scalps."""

from dataclasses import replace

import numpy as np

from brainct.ct.phantom.anatomy import Head
from brainct.ct.phantom.details.detail import Detail, Rng
from brainct.ct.phantom.shapes import Frame, Paint, distance, edge, segment, waves

CALCIFIED = {"pineal": 0.710, "choroid": 0.662, "habenula": 0.201, "falx": 0.073, "basal ganglia": 0.008}
"""Share of 1,569 adults whose CT shows it: Daghighi et al., Folia Morphologica 66:115, 2007."""

SPOTS = {
    "pineal": ((0.0, -21.0, 4.0),),
    "choroid": ((26.0, -33.0, 10.0), (-26.0, -33.0, 10.0)),
    "habenula": ((0.0, -15.0, 5.0),),
    "basal ganglia": ((22.0, 6.0, 4.0), (-22.0, 6.0, 4.0)),
}
"""Where a round calcification is, mm to the right, to the front and up."""


def _worn(rng: Rng, frame: Frame) -> Frame:
    more = rng.uniform(0.2, 0.9) if rng.random() < 0.5 else 0.0
    return replace(frame, wear=min(frame.wear + more, 1.2))


def _gyri(rng: Rng, head: Head) -> list[Paint]:
    frame, soft = head.frame, head.frame.pixel
    fold = 3.5 * np.abs(waves(rng, frame, 24))
    near = edge(20 - head.rim, 8) * edge(head.rim - 1, soft)
    gap = rng.uniform(0.3, 1.2) + 0.8 * frame.wear
    cortex = edge(2.8 + gap - fold, 1.2 * soft)
    return [(near * cortex, rng.uniform(34, 38)), (near * edge(gap - fold, soft), rng.uniform(4, 9))]


def _calcified(rng: Rng, head: Head) -> list[Paint]:
    frame, soft = head.frame, head.frame.pixel
    layers: list[Paint] = []
    for name, places in SPOTS.items():
        there, dense = rng.random() < CALCIFIED[name], rng.uniform(100, 400)
        for right, front, up in places:
            size, slip = rng.uniform(1.2, 4.0) * (0.5 if name == "habenula" else 1.0), rng.normal(0, 1.5, 2)
            off = distance(frame.x - right - slip[0], frame.y - front - slip[1], 0.4 * (frame.z - up))
            layers += [(edge(size - off, soft), dense)] if there else []
    start, length, thick = rng.uniform(10, 45), rng.uniform(8, 25), rng.uniform(0.6, 1.6)
    plaque = thick - segment(frame.x, frame.y, (0, start), (0, start + length)) - np.maximum(0, 20 - frame.z)
    return [*layers, (edge(plaque, soft), rng.uniform(150, 500))] if rng.random() < CALCIFIED["falx"] else layers


def _swollen(rng: Rng, head: Head) -> list[Paint]:
    soft = head.frame.pixel
    there, centre = rng.random() < 0.25, rng.uniform(-np.pi, np.pi)
    high, wide, dense = rng.uniform(4, 14), rng.uniform(20, 45), rng.uniform(35, 70)
    turn = (head.angle - centre + np.pi) % (2 * np.pi) - np.pi
    bump = high * (1 - (turn * head.reach / wide) ** 2)
    share = edge(head.scalp + bump, soft) * (1 - edge(head.scalp, soft)) * (bump > 0)
    under = edge(bump, 2) * edge(head.scalp, soft) * (1 - edge(head.bone, soft))
    return [(np.maximum(share, under), dense)] if there else []


ATROPHY = Detail(
    "half of the heads are worn further: sulci and ventricles as wide as at 40 to 80 years more", frame=_worn
)
GYRI = Detail("a second family of sulci, 0.6 to 4 mm wide, in the outer 20 mm of the brain", tissue=_gyri)
CALCIFICATION = Detail(
    "calcified pineal, choroid, habenula, falx and basal ganglia, 100 to 500 HU, as often as in adults",
    tissue=_calcified,
)
SWELLING = Detail("one scalp in four is swollen by 4 to 14 mm of 35 to 70 HU, bleeding or not", bone=_swollen)

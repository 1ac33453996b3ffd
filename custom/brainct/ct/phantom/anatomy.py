"""A head without bleeding: skull, brain, ventricles, and what is bright or dark for other reasons."""

from dataclasses import dataclass

import numpy as np

from brainct.ct.phantom.shapes import Field, Frame, Paint, distance, edge, segment, swell, waves

ROOF = 38.0
"""Height in mm above the basal ganglia at which the lateral ventricles end."""


@dataclass(frozen=True)
class Head:
    """One head: depths in mm (positive inside) under skin, bone and its inner table, fissures and cavities.

    reach: radius of the outer table along each pixel's ray; fissures: distance from the nearest; twin: seed of the
    ventricles, to draw them once more at another height.
    """

    frame: Frame
    angle: Field
    reach: Field
    scalp: Field
    bone: Field
    rim: Field
    thick: Field
    fissures: Field
    ventricle: Field
    pool: Field
    twin: int


def _skull(rng: np.random.Generator, frame: Frame) -> dict[str, Field]:
    """Shape the skull: an uneven egg that closes towards the vertex, where it is cut obliquely and looks thick."""
    radius, angle = np.hypot(frame.x, frame.y) + 1e-6, np.arctan2(frame.y, frame.x)
    wide, long = rng.normal(73, 2), rng.normal(90, 2.5)
    egg = np.hypot(frame.x / (wide * (1 - 0.001 * frame.y)), frame.y / long) + 1e-9
    bend = 1 + sum(rng.normal(0, 0.008) * np.cos(n * angle + rng.uniform(0, 6.3)) for n in (2, 3, 4))
    close = np.sqrt(np.clip(1 - (np.maximum(frame.z + 8, 0) / 96) ** 2.4, 0.02, 1))
    reach = radius * bend * close / egg
    thick = rng.uniform(4.2, 6.5) * (1 + 0.3 * np.sin(angle) ** 2 + 0.08 * waves(rng, frame, 40)) / np.sqrt(close)
    plaque = rng.uniform(-0.6, 1.4) * np.maximum(0, waves(rng, frame, 55)) * (1 + np.sin(angle))
    thick = thick + np.maximum(0, plaque)
    bone = reach - radius
    muscle = 4 * np.exp(-(((np.abs(frame.x) - 72) / 20) ** 2) - ((frame.y - 15) / 25) ** 2) * (frame.z < 30)
    scalp = bone + rng.uniform(5, 9) + muscle
    return {"angle": angle, "reach": reach, "scalp": scalp, "bone": bone, "rim": bone - thick, "thick": thick}


def _fissures(rng: np.random.Generator, frame: Frame, skull: dict[str, Field]) -> Field:
    """Distance in mm from the nearest sulcus, Sylvian fissure or the fissure between the hemispheres."""
    rim, angle, warp = skull["rim"], skull["angle"], waves(rng, frame, 32)
    count = int(rng.integers(24, 32))
    turn = angle * count / (2 * np.pi) + 0.45 * warp + rng.random()
    length = rng.uniform(6, 24, count)[np.rint(turn).astype(int) % count]
    across = np.abs(turn - np.rint(turn)) * 2 * np.pi * np.maximum(skull["reach"] - skull["thick"] - rim, 8) / count
    radial = np.hypot(across, np.maximum(0, rim - length))
    folds = np.abs(waves(rng, frame, 30)) * 5 + np.maximum(0, rim - 10 - 0.35 * frame.z)
    side, ahead = np.abs(frame.x + 1.2 * warp), frame.y + 2 * warp
    low = np.clip((34 - frame.z) / 12, 0, 1)
    middle = np.hypot(side, np.maximum(0, low * np.minimum(34 - frame.y, frame.y + 48)))
    high = np.maximum(0, frame.z - 22)
    stem = np.minimum(segment(side, ahead, (39, 4), (75, 12)), segment(side, ahead, (40, 20), (38, -14)))
    nearest: Field = np.minimum(np.minimum(radial, folds), np.minimum(middle, stem + high))
    return nearest


def ventricles(rng: np.random.Generator, frame: Frame, z: Field) -> Field:
    """Depth in mm inside the lateral and third ventricles of a head cut at z mm."""
    wide = 2.6 + 4.5 * frame.wear + rng.normal(0, 0.5)
    lean, bump = rng.uniform(0.85, 1.15), 0.9 * waves(rng, frame, 25)
    shrink = 1 + 0.02 * np.maximum(0, frame.z - z)
    x, y = np.abs(frame.x + 0.8) * np.where(frame.x > 0, lean, 1 / lean) * shrink, frame.y * shrink
    horn = wide * swell(z, 8, 26) - segment(x, y, (5, 20), (14 + wide, 38))
    body = wide * 1.15 * swell(z, 27, ROOF - 27) - segment(x, y, (7 + wide / 2, 32), (10 + wide, -14))
    back = wide * 1.25 * swell(z, 12, 22) - segment(x, y, (16 + wide, -20), (24 + wide, -44))
    join = wide * 1.05 * swell(z, 26, 11) - segment(x, y, (10 + wide, -14), (18 + wide, -32))
    third = (0.9 + 2 * frame.wear) * swell(z, -2, 15) - segment(x, y, (0, 6), (0, -14))
    lateral: Field = np.maximum(np.maximum(horn, body), np.maximum(back, join)) + bump
    return np.maximum(lateral, third)


def _pool(frame: Frame) -> Field:
    """Depth in mm inside the cistern behind the midbrain, a smile open to the front, seen only in the lowest slices."""
    arc: Field = np.abs(distance(frame.x, (frame.y + 12) * 1.1) - 15) + np.maximum(0, frame.y + 20)
    return 2.2 * swell(frame.z, -4, 12) - arc


def head_on(rng: np.random.Generator, frame: Frame) -> Head:
    skull = _skull(rng, frame)
    fissures = _fissures(rng, frame, skull)
    twin = int(rng.integers(2**63))
    hollow = ventricles(np.random.default_rng(twin), frame, frame.z)
    return Head(frame, **skull, fissures=fissures, ventricle=hollow, pool=_pool(frame), twin=twin)


def skull_layers(rng: np.random.Generator, head: Head) -> list[Paint]:
    """The layers around the brain, from inside: bone with its spongy middle, fat, muscle, skin, air."""
    soft, frame = head.frame.pixel, head.frame
    middle = edge(0.28 * head.thick - np.abs(head.bone - head.thick / 2), soft)
    temple = edge(np.abs(frame.x) - 45, 6) * (np.abs(frame.y - 15) < 35) * (frame.z < 30)
    return [
        (1 - edge(head.rim, soft), rng.uniform(950, 1400)),
        (middle, rng.uniform(350, 650) + 60 * waves(rng, frame, 12)),
        (1 - edge(head.bone, soft), -80.0),
        (edge(head.scalp - 4, soft) * (1 - edge(head.bone, soft)) * temple, 48.0),
        (1 - edge(head.scalp - 3, soft), 45.0),
        (1 - edge(head.scalp, soft), -1000.0),
    ]


def healthy_tissue(rng: np.random.Generator, head: Head) -> list[Paint]:
    """White matter, its wear around the ventricles, the grey ribbon and the deep grey, and the water between them."""
    frame, soft = head.frame, head.frame.pixel
    worn, white = frame.wear, rng.uniform(26, 30)
    surface, gap = head.rim - 0.6 - 2.2 * worn, 0.15 + 1.1 * worn + 0.3 * rng.random()
    grey = white + rng.uniform(6.0, 8.0)
    ribbon = rng.uniform(2.8, 3.6) + 0.5 * waves(rng, frame, 20)
    patchy, water = waves(rng, frame, 18), rng.uniform(4, 9)
    tired = np.clip(worn - 0.35, 0, 1) * edge(head.ventricle + 9 + 4 * patchy, 8)
    return [
        (np.ones_like(surface), water),
        (edge(surface, soft), white + 0.7 * patchy),
        (tired, white - 9),
        (edge(surface, soft) * edge(np.maximum(ribbon + gap - head.fissures, ribbon - surface), 1.2 * soft), grey),
        (_deep(rng, frame) * edge(surface, soft), grey + 0.5),
        (edge(gap - head.fissures, soft), water),
        (edge(head.pool, soft), 7.0),
        (edge(head.ventricle, soft), rng.uniform(4, 8)),
    ]


def _deep(rng: np.random.Generator, frame: Frame) -> Field:
    """Share of caudate, lentiform nucleus and thalamus."""
    side, warp = np.abs(frame.x) + 0.8 * waves(rng, frame, 22), frame.wear
    show = swell(frame.z, 4, 20)
    caudate = 5 * show - segment(side, frame.y, (13 + 4 * warp, 20), (17 + 4 * warp, 27))
    lentiform = 6.5 * show - segment(side, frame.y, (25, 17), (28, -3))
    thalamus = 8.5 * show - segment(side, frame.y, (10 + 2 * warp, -4), (14 + 2 * warp, -13))
    return edge(np.maximum(np.maximum(caudate, lentiform), thalamus), 1.5 * frame.pixel)


def bright_structures(rng: np.random.Generator, head: Head) -> list[Paint]:
    """Bright structures other than blood: falx, sinus, tentorium, and calcified choroid, pineal and falx."""
    frame, soft = head.frame, head.frame.pixel
    x, y, low = np.abs(frame.x + rng.normal(0, 0.6)), frame.y, np.clip((34 - frame.z) / 12, 0, 1)
    falx = rng.uniform(0.5, 1.1) - np.hypot(x, np.maximum(0, low * np.minimum(36 - y, y + 50)))
    sinus = np.minimum((9 - head.rim - 0.9 * x), 4.5 - x) - 12 * (y > 0)
    tent = rng.uniform(0.5, 1.2) * swell(frame.z, -2, 12) - segment(x, y, (3, -30), (30, -58))
    old = 0.25 + 0.7 * frame.wear
    layers: list[Paint] = [
        (edge(falx, soft), rng.uniform(46, 60)),
        (edge(tent, soft), rng.uniform(46, 58)),
        (edge(sinus, soft), rng.uniform(48, 62)),
    ]
    spots = [(26, -33, 10), (-26, -33, 10), (0, -21, 4), (0.5, rng.uniform(40, 60), rng.uniform(0, 60))]
    spots += [(22, 6, 4), (-22, 6, 4)] if rng.random() < 0.15 * old else []
    for right, front, up in spots:
        size, dense, there = rng.uniform(1.0, 2.8), rng.uniform(90, 300), rng.random() < old
        off = distance(frame.x - right, y - front - rng.normal(0, 2), 0.4 * (frame.z - up))
        layers += [(edge(size - off, soft), dense)] if there else []
    return layers


def old_infarcts(rng: np.random.Generator, head: Head) -> list[Paint]:
    """Old infarcts, in a lobe or as lacunes in the deep grey; more frequent in worn brains."""
    frame = head.frame
    layers: list[Paint] = []
    for chance, deep, size in ((0.25, False, (7, 16)), (0.4, True, (1.5, 3.5))):
        if rng.random() > chance * frame.wear:
            continue
        place, radius, rough = spot(rng, head, deep), rng.uniform(*size), waves(rng, frame, 16)
        share = edge(radius * (1 + 0.25 * rough) - place, 2 * frame.pixel) * edge(head.rim - 2, frame.pixel)
        layers += [(share, rng.uniform(9, 20))]
    return layers


def spot(rng: np.random.Generator, head: Head, deep: bool) -> Field:
    """Distance in mm, slightly stretched, from a random place in the deep grey or in a lobe."""
    frame, side, high = head.frame, rng.choice((-1.0, 1.0)), rng.uniform(*head.frame.span)
    round_, turn, lobe = rng.uniform(0.75, 1.3), rng.uniform(-1.2, 1.2), rng.uniform(0.35, 0.72)
    core = (side * rng.uniform(12, 30), rng.uniform(-12, 22))
    close = np.sqrt(1 - (max(high + 8, 0) / 96) ** 2.4)
    cx, cy = core if deep else (side * 66 * lobe * close * np.cos(turn), 80 * lobe * close * np.sin(turn))
    return distance((frame.x - cx) * round_, (frame.y - cy) / round_, frame.z - high)

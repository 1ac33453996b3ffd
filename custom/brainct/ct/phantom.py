"""Synthetic non-contrast head CT in HU: heads, five kinds of bleeding, and six scanners that each see them differently.

Everything is drawn in millimetres on a head frame: x to the image's right, y to the front, z up from the basal ganglia.
A shape is a signed depth in mm (positive inside); a tissue is painted with the share of each pixel that lies inside.
HU of the tissues and the physics: Barras et al., AJNR 34:1139, 2013 (clot texture); Kijewski & Judy, Phys Med Biol
32:565, 1987 (band-pass noise). A scan's label reaches its picture through the painted lesion and in no other way.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from brainct.ct.folds import FINDINGS
from brainct.errors import Refused

Field = NDArray[np.float64]
Paint = tuple[Field, Field | float]
"""The share of each pixel in [0, 1] that is covered, and with what, in HU."""

ROOF = 38.0
"""mm above the basal ganglia where the lateral ventricles end."""

TOP = 60.0
"""mm above the basal ganglia of the highest slice, near the vertex."""


PLAIN, TAIL, FAINT = 2.0, 1.1, (0.1, 0.2)
"""Force of the plainest bleeding at difficulty 1, how far its logarithm falls, share and factor of the hardly seen.

Chosen by measurement: 96 x 96, a DenseNet of 30k parameters, 50 epochs, AdamW one-cycle to 1.5e-3, AUROC of `any` on
60 unseen scans a site. 4 sites x 48 scans pooled 0.94 (five seeds, 0.83 to 0.98), one site's 48 alone 0.72 (0.66 to
0.79); 8 x 16 pooled 0.93 (three seeds, 0.92 to 0.95), 16 alone 0.55. Mean of the 40 brightest brain pixels: 0.63. At
3e-3 one run in eight or so stays on the plateau near 0.5 before it has learnt anything.
"""


@dataclass(frozen=True)
class Scanner:
    """One hospital's scanner and patients.

    psf_mm: full width at half maximum of the point spread, in plane.
    noise_hu, grain_mm: SD of the noise in the brain and the Gaussian width of its grain (a difference of Gaussians).
    offset_hu, gain: error of the HU scale at water, and factor on everything denser than water.
    cupping_hu: how much darker beam hardening makes the centre than the rim.
    pixel_mm: pixel size of a picture 96 pixels wide; another size shows the same field of view.
    tilt_deg: SD of the head's rotation in plane and of the gantry's tilt.
    prevalence: share of scans with any bleeding. mix: weights of the five kinds, in the order of FINDINGS.
    age: mean and SD of the patients' years; age brings wide sulci, large ventricles, old infarcts, calcifications.
    kept: lowest and highest HU that the export keeps.
    """

    name: str
    psf_mm: float
    noise_hu: float
    grain_mm: float
    offset_hu: float
    gain: float
    cupping_hu: float
    pixel_mm: float
    tilt_deg: float
    prevalence: float
    mix: tuple[float, float, float, float, float]
    age: tuple[float, float]
    kept: tuple[float, float] = (-1024.0, 3071.0)


SCANNERS: tuple[Scanner, ...] = (
    Scanner("trauma centre", 2.0, 2.4, 1.6, 0.0, 1.00, 2.0, 2.35, 5.0, 0.45, (4, 2, 1, 3, 4), (42, 17)),
    Scanner("stroke unit", 2.4, 2.0, 1.8, 1.5, 1.02, 3.0, 2.30, 3.0, 0.40, (1, 6, 4, 3, 1), (68, 11)),
    Scanner("low dose", 3.0, 4.2, 2.2, -1.5, 0.98, 3.0, 2.45, 4.0, 0.30, (2, 3, 2, 3, 3), (55, 16)),
    Scanner("old scanner", 4.0, 3.2, 2.6, -4.0, 1.05, 8.0, 2.50, 6.0, 0.35, (2, 3, 2, 2, 3), (60, 14)),
    Scanner("narrow export", 2.2, 2.8, 1.6, 3.0, 0.97, 2.5, 2.40, 4.0, 0.55, (2, 4, 3, 4, 2), (58, 15), (-20.0, 100.0)),
    Scanner("geriatric", 2.6, 2.6, 2.0, 0.5, 1.01, 4.0, 2.35, 7.0, 0.20, (1, 3, 1, 2, 6), (81, 7)),
)


def scanner_of(site: str) -> Scanner:
    """Give a site its scanner: by the number that ends its name ('site-3' has the third), else by the name's hash."""
    number = re.search(r"\d+$", site)
    place = int(number[0]) - 1 if number else int.from_bytes(hashlib.sha256(site.encode()).digest()[:8], "big")
    return SCANNERS[place % len(SCANNERS)]


@dataclass(frozen=True)
class _Frame:
    """The grid in mm of the head: fields (n, n, k), the axes that they came from, pixel size, where lesions may lie."""

    x: Field
    y: Field
    z: Field
    axes: tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]
    pixel: float
    span: tuple[float, float]
    wear: float


@dataclass(frozen=True)
class _Head:
    """One head: depths in mm (positive inside) under skin, bone and its inner table, the fissures, and what is hollow.

    reach: radius of the outer table along each pixel's ray; fissures: distance from the nearest; twin: seed of the
    ventricles, to draw them once more at another height.
    """

    frame: _Frame
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


def _edge(inside: Field, soft: float) -> Field:
    """Turn a depth in mm into the share of a pixel `soft` mm wide that lies inside."""
    return np.clip(0.5 + inside / soft, 0.0, 1.0)


def _paint(hu: Field, layers: Iterable[Paint]) -> Field:
    for share, tissue in layers:
        hu = hu + share * (tissue - hu)
    return hu


def _waves(rng: np.random.Generator, frame: _Frame, length: float, count: int = 20) -> Field:
    """Draw a smooth random field of unit variance with wavelengths around `length` mm, the same at every resolution."""
    way = rng.normal(size=(count, 3))
    way *= (2 * np.pi / length * rng.uniform(0.6, 1.5, count) / np.linalg.norm(way, axis=1))[:, None]
    down, right, up = (np.outer(axis, way[:, i]) for i, axis in enumerate(frame.axes))
    turn = down + (up + rng.uniform(0, 2 * np.pi, count))[:, None, :]
    one, two = np.concatenate([np.cos(turn), -np.sin(turn)], -1), np.concatenate([np.cos(right), np.sin(right)], -1)
    field: Field = np.einsum("kim,jm->kij", one, two) * np.sqrt(2 / count)
    return np.ascontiguousarray(np.moveaxis(field, 0, -1))


def _far(x: Field, y: Field, z: Field | float = 0.0) -> Field:
    """Distance in mm of each pixel from the origin of the offsets."""
    squared: Field = np.square(x) + np.square(y) + np.square(z)
    return np.sqrt(squared)


def _segment(x: Field, y: Field, start: tuple[float, float], end: tuple[float, float]) -> Field:
    """Distance in mm of each pixel from a segment."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    along = np.clip(((x - start[0]) * dx + (y - start[1]) * dy) / (dx * dx + dy * dy), 0.0, 1.0)
    return _far(x - start[0] - along * dx, y - start[1] - along * dy)


def _swell(z: Field, middle: float, half: float) -> Field:
    """Radius of a unit ball `half` mm high where it is cut at z mm: 1 at its middle, negative above and below it."""
    inside = 1.0 - ((z - middle) / half) ** 2
    return np.sign(inside) * np.sqrt(np.abs(inside))


def _frame(rng: np.random.Generator, scanner: Scanner, size: int, levels: Field, span: tuple[float, float]) -> _Frame:
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
    return _Frame(x, y, z, (-line, line, levels), pixel, span, wear)


def _skull(rng: np.random.Generator, frame: _Frame) -> dict[str, Field]:
    """Shape the skull: an uneven egg that closes towards the vertex, where it is cut obliquely and looks thick."""
    radius, angle = np.hypot(frame.x, frame.y) + 1e-6, np.arctan2(frame.y, frame.x)
    wide, long = rng.normal(73, 2), rng.normal(90, 2.5)
    egg = np.hypot(frame.x / (wide * (1 - 0.001 * frame.y)), frame.y / long) + 1e-9
    bend = 1 + sum(rng.normal(0, 0.008) * np.cos(n * angle + rng.uniform(0, 6.3)) for n in (2, 3, 4))
    close = np.sqrt(np.clip(1 - (np.maximum(frame.z + 8, 0) / 96) ** 2.4, 0.02, 1))
    reach = radius * bend * close / egg
    thick = rng.uniform(4.2, 6.5) * (1 + 0.3 * np.sin(angle) ** 2 + 0.08 * _waves(rng, frame, 40)) / np.sqrt(close)
    plaque = rng.uniform(-0.6, 1.4) * np.maximum(0, _waves(rng, frame, 55)) * (1 + np.sin(angle))
    thick = thick + np.maximum(0, plaque)
    bone = reach - radius
    muscle = 4 * np.exp(-(((np.abs(frame.x) - 72) / 20) ** 2) - ((frame.y - 15) / 25) ** 2) * (frame.z < 30)
    scalp = bone + rng.uniform(5, 9) + muscle
    return {"angle": angle, "reach": reach, "scalp": scalp, "bone": bone, "rim": bone - thick, "thick": thick}


def _fissures(rng: np.random.Generator, frame: _Frame, skull: dict[str, Field]) -> Field:
    """Distance in mm from the nearest sulcus, Sylvian fissure or the fissure between the hemispheres."""
    rim, angle, warp = skull["rim"], skull["angle"], _waves(rng, frame, 32)
    count = int(rng.integers(24, 32))
    turn = angle * count / (2 * np.pi) + 0.45 * warp + rng.random()
    length = rng.uniform(6, 24, count)[np.rint(turn).astype(int) % count]
    across = np.abs(turn - np.rint(turn)) * 2 * np.pi * np.maximum(skull["reach"] - skull["thick"] - rim, 8) / count
    radial = np.hypot(across, np.maximum(0, rim - length))
    folds = np.abs(_waves(rng, frame, 30)) * 5 + np.maximum(0, rim - 10 - 0.35 * frame.z)
    side, ahead = np.abs(frame.x + 1.2 * warp), frame.y + 2 * warp
    low = np.clip((34 - frame.z) / 12, 0, 1)
    middle = np.hypot(side, np.maximum(0, low * np.minimum(34 - frame.y, frame.y + 48)))
    high = np.maximum(0, frame.z - 22)
    stem = np.minimum(_segment(side, ahead, (39, 4), (75, 12)), _segment(side, ahead, (40, 20), (38, -14)))
    nearest: Field = np.minimum(np.minimum(radial, folds), np.minimum(middle, stem + high))
    return nearest


def _ventricles(rng: np.random.Generator, frame: _Frame, z: Field) -> Field:
    """Depth in mm inside the lateral and third ventricles of a head cut at z mm."""
    wide = 2.6 + 4.5 * frame.wear + rng.normal(0, 0.5)
    lean, bump = rng.uniform(0.85, 1.15), 0.9 * _waves(rng, frame, 25)
    shrink = 1 + 0.02 * np.maximum(0, frame.z - z)
    x, y = np.abs(frame.x + 0.8) * np.where(frame.x > 0, lean, 1 / lean) * shrink, frame.y * shrink
    horn = wide * _swell(z, 8, 26) - _segment(x, y, (5, 20), (14 + wide, 38))
    body = wide * 1.15 * _swell(z, 27, ROOF - 27) - _segment(x, y, (7 + wide / 2, 32), (10 + wide, -14))
    back = wide * 1.25 * _swell(z, 12, 22) - _segment(x, y, (16 + wide, -20), (24 + wide, -44))
    join = wide * 1.05 * _swell(z, 26, 11) - _segment(x, y, (10 + wide, -14), (18 + wide, -32))
    third = (0.9 + 2 * frame.wear) * _swell(z, -2, 15) - _segment(x, y, (0, 6), (0, -14))
    lateral: Field = np.maximum(np.maximum(horn, body), np.maximum(back, join)) + bump
    return np.maximum(lateral, third)


def _pool(frame: _Frame) -> Field:
    """Depth in mm inside the cistern behind the midbrain, a smile open to the front, seen only in the lowest slices."""
    arc: Field = np.abs(_far(frame.x, (frame.y + 12) * 1.1) - 15) + np.maximum(0, frame.y + 20)
    return 2.2 * _swell(frame.z, -4, 12) - arc


def _head(rng: np.random.Generator, frame: _Frame) -> _Head:
    skull = _skull(rng, frame)
    fissures = _fissures(rng, frame, skull)
    twin = int(rng.integers(2**63))
    hollow = _ventricles(np.random.default_rng(twin), frame, frame.z)
    return _Head(frame, **skull, fissures=fissures, ventricle=hollow, pool=_pool(frame), twin=twin)


def _shell(rng: np.random.Generator, head: _Head) -> list[Paint]:
    """What lies over the content of the skull, from within: bone with its spongy middle, fat, muscle, skin, air."""
    soft, frame = head.frame.pixel, head.frame
    middle = _edge(0.28 * head.thick - np.abs(head.bone - head.thick / 2), soft)
    temple = _edge(np.abs(frame.x) - 45, 6) * (np.abs(frame.y - 15) < 35) * (frame.z < 30)
    return [
        (1 - _edge(head.rim, soft), rng.uniform(950, 1400)),
        (middle, rng.uniform(350, 650) + 60 * _waves(rng, frame, 12)),
        (1 - _edge(head.bone, soft), -80.0),
        (_edge(head.scalp - 4, soft) * (1 - _edge(head.bone, soft)) * temple, 48.0),
        (1 - _edge(head.scalp - 3, soft), 45.0),
        (1 - _edge(head.scalp, soft), -1000.0),
    ]


def _brain(rng: np.random.Generator, head: _Head) -> list[Paint]:
    """White matter, its wear around the ventricles, the grey ribbon and the deep grey, and the water between them."""
    frame, soft = head.frame, head.frame.pixel
    worn, white = frame.wear, rng.uniform(26, 30)
    surface, gap = head.rim - 0.6 - 2.2 * worn, 0.15 + 1.1 * worn + 0.3 * rng.random()
    grey = white + rng.uniform(6.0, 8.0)
    ribbon = rng.uniform(2.8, 3.6) + 0.5 * _waves(rng, frame, 20)
    patchy, water = _waves(rng, frame, 18), rng.uniform(4, 9)
    tired = np.clip(worn - 0.35, 0, 1) * _edge(head.ventricle + 9 + 4 * patchy, 8)
    return [
        (np.ones_like(surface), water),
        (_edge(surface, soft), white + 0.7 * patchy),
        (tired, white - 9),
        (_edge(surface, soft) * _edge(np.maximum(ribbon + gap - head.fissures, ribbon - surface), 1.2 * soft), grey),
        (_deep(rng, frame) * _edge(surface, soft), grey + 0.5),
        (_edge(gap - head.fissures, soft), water),
        (_edge(head.pool, soft), 7.0),
        (_edge(head.ventricle, soft), rng.uniform(4, 8)),
    ]


def _deep(rng: np.random.Generator, frame: _Frame) -> Field:
    """Share of caudate, lentiform nucleus and thalamus."""
    side, warp = np.abs(frame.x) + 0.8 * _waves(rng, frame, 22), frame.wear
    show = _swell(frame.z, 4, 20)
    caudate = 5 * show - _segment(side, frame.y, (13 + 4 * warp, 20), (17 + 4 * warp, 27))
    lentiform = 6.5 * show - _segment(side, frame.y, (25, 17), (28, -3))
    thalamus = 8.5 * show - _segment(side, frame.y, (10 + 2 * warp, -4), (14 + 2 * warp, -13))
    return _edge(np.maximum(np.maximum(caudate, lentiform), thalamus), 1.5 * frame.pixel)


def _bright(rng: np.random.Generator, head: _Head) -> list[Paint]:
    """What is bright without bleeding: falx, sinus, tentorium, and calcified choroid, pineal and falx."""
    frame, soft = head.frame, head.frame.pixel
    x, y, low = np.abs(frame.x + rng.normal(0, 0.6)), frame.y, np.clip((34 - frame.z) / 12, 0, 1)
    falx = rng.uniform(0.5, 1.1) - np.hypot(x, np.maximum(0, low * np.minimum(36 - y, y + 50)))
    sinus = np.minimum((9 - head.rim - 0.9 * x), 4.5 - x) - 12 * (y > 0)
    tent = rng.uniform(0.5, 1.2) * _swell(frame.z, -2, 12) - _segment(x, y, (3, -30), (30, -58))
    old = 0.25 + 0.7 * frame.wear
    layers: list[Paint] = [
        (_edge(falx, soft), rng.uniform(46, 60)),
        (_edge(tent, soft), rng.uniform(46, 58)),
        (_edge(sinus, soft), rng.uniform(48, 62)),
    ]
    spots = [(26, -33, 10), (-26, -33, 10), (0, -21, 4), (0.5, rng.uniform(40, 60), rng.uniform(0, 60))]
    spots += [(22, 6, 4), (-22, 6, 4)] if rng.random() < 0.15 * old else []
    for right, front, up in spots:
        size, dense, there = rng.uniform(1.0, 2.8), rng.uniform(90, 300), rng.random() < old
        off = _far(frame.x - right, y - front - rng.normal(0, 2), 0.4 * (frame.z - up))
        layers += [(_edge(size - off, soft), dense)] if there else []
    return layers


def _old(rng: np.random.Generator, head: _Head) -> list[Paint]:
    """Old infarcts, one in a lobe and lacunes in the deep grey, more often in the old."""
    frame = head.frame
    layers: list[Paint] = []
    for chance, deep, size in ((0.25, False, (7, 16)), (0.4, True, (1.5, 3.5))):
        if rng.random() > chance * frame.wear:
            continue
        place, radius, rough = _spot(rng, head, deep), rng.uniform(*size), _waves(rng, frame, 16)
        share = _edge(radius * (1 + 0.25 * rough) - place, 2 * frame.pixel) * _edge(head.rim - 2, frame.pixel)
        layers += [(share, rng.uniform(9, 20))]
    return layers


def _spot(rng: np.random.Generator, head: _Head, deep: bool) -> Field:
    """Distance in mm, somewhat stretched, from a random place in the deep grey or in a lobe."""
    frame, side, high = head.frame, rng.choice((-1.0, 1.0)), rng.uniform(*head.frame.span)
    round_, turn, lobe = rng.uniform(0.75, 1.3), rng.uniform(-1.2, 1.2), rng.uniform(0.35, 0.72)
    core = (side * rng.uniform(12, 30), rng.uniform(-12, 22))
    close = np.sqrt(1 - (max(high + 8, 0) / 96) ** 2.4)
    cx, cy = core if deep else (side * 66 * lobe * close * np.cos(turn), 80 * lobe * close * np.sin(turn))
    return _far((frame.x - cx) * round_, (frame.y - cy) / round_, frame.z - high)


def _clot(rng: np.random.Generator, head: _Head, low: float, high: float, force: float) -> Field:
    """HU of fresh blood with its texture of +-4 HU; force < 1 brings it nearer to the brain's 33, as thin blood is."""
    level = 33 + min(force, 1.0) ** 0.4 * (rng.uniform(low, high) - 33)
    clot: Field = level + np.clip(4 * _waves(rng, head.frame, 9), -4, 4)
    return clot


def _along(rng: np.random.Generator, head: _Head, centre: float) -> Field:
    """Distance in mm along the inner table from a place at the angle `centre`."""
    turn = (head.angle - centre + np.pi) % (2 * np.pi) - np.pi
    return _far(turn * (head.reach - head.thick), head.frame.z - rng.uniform(*head.frame.span))


def _epidural(rng: np.random.Generator, head: _Head, force: float) -> list[Paint]:
    """A lens under the bone: depth < h (1 - (t/w)^2)."""
    centre = rng.choice((0.0, np.pi)) + rng.normal(0, 0.6)
    high, wide = force * rng.uniform(9, 19), np.sqrt(force) * rng.uniform(26, 42)
    lens = high * (1 - (_along(rng, head, centre) / wide) ** 2) - head.rim
    return [(_edge(lens, head.frame.pixel), _clot(rng, head, 58, 78, force))]


def _subdural(rng: np.random.Generator, head: _Head, force: float) -> list[Paint]:
    """A crescent on one hemisphere: depth < h (1 - (t/w)^4); three in ten are old, hardly brighter than brain."""
    side, aged = rng.choice((0.0, np.pi)), rng.random() < 0.3
    high, wide = force * rng.uniform(6, 12), np.sqrt(force) * rng.uniform(55, 95)
    crescent = high * (1 - (_along(rng, head, side + rng.normal(0, 0.4)) / wide) ** 4) - head.rim
    half = _edge(head.frame.x * np.cos(side) - 2, head.frame.pixel)
    low, top = (38, 52) if aged else (55, 76)
    share = _edge(crescent, head.frame.pixel) * half
    return [(share, _clot(rng, head, low, top, 1.0 if aged else force))]


def _intraparenchymal(rng: np.random.Generator, head: _Head, force: float) -> list[Paint]:
    """A warped ball in its ring of oedema; four in ten lie deep where the slice shows the deep grey."""
    frame = head.frame
    deep = rng.random() < 0.4 and frame.span[0] < 25
    place, radius = _spot(rng, head, deep), force * rng.uniform(8, 17)
    rough = _waves(rng, frame, 14 + 2 * radius)
    ball = radius * (1 + 0.22 * rough) - place
    inside = _edge(head.rim - 2, frame.pixel)
    ring = _edge(ball + rng.uniform(3, 8), 1.5 * frame.pixel) * inside * (1 - _edge(head.ventricle, frame.pixel))
    return [(0.9 * ring, rng.uniform(15, 23)), (_edge(ball, frame.pixel) * inside, _clot(rng, head, 56, 80, force))]


def _intraventricular(rng: np.random.Generator, head: _Head, force: float) -> list[Paint]:
    """Blood sunk to the back of one or both lateral ventricles, widened a little; above them, in a raised roof."""
    frame, room = head.frame, head.ventricle
    if not (room > 0).any():
        room = _ventricles(np.random.default_rng(head.twin), frame, np.minimum(frame.z, ROOF - 10))
    room = room + rng.uniform(0.8, 2.0)
    back = frame.y[room > 0]
    fill = back.min() + min(1.0, 0.15 + force * rng.uniform(0.2, 0.75)) * (back.max() - back.min())
    side, both = rng.choice((-1.0, 1.0)), rng.random() < 0.6
    share = _edge(room, frame.pixel) * _edge(fill - frame.y, frame.pixel)
    return [(share if both else share * _edge(side * frame.x, frame.pixel), _clot(rng, head, 54, 78, force))]


def _subarachnoid(rng: np.random.Generator, head: _Head, force: float) -> list[Paint]:
    """Blood in the sulci, fissures and cisterns of a sector, thinned by water."""
    frame, soft = head.frame, head.frame.pixel
    centre = rng.choice((0.0, np.pi)) + rng.normal(0, 0.8)
    sector = _edge(np.sqrt(force) * rng.uniform(28, 60) - _along(rng, head, centre), 10)
    wide = 0.9 + 0.8 * force + frame.wear
    film = np.maximum(wide - head.fissures, 1.2 * force + frame.wear - head.rim)
    share = np.maximum(_edge(film, soft) * sector * _edge(32 - head.rim, 6), _edge(head.pool, soft))
    return [(share, _clot(rng, head, 48, 62, force))]


def _force(rng: np.random.Generator, difficulty: float) -> float:
    """Draw how large and dense a bleeding is, 1 being a textbook's: most are plain, some are hardly seen."""
    faint = FAINT[1] if rng.random() < FAINT[0] else 1.0
    return float(np.clip(PLAIN / difficulty * np.exp(-TAIL * rng.random() ** 2) * faint, 0.15, 2.0))


BLEEDS: dict[str, Callable[[np.random.Generator, _Head, float], list[Paint]]] = dict(
    zip(FINDINGS, (_epidural, _intraparenchymal, _intraventricular, _subarachnoid, _subdural), strict=False)
)
"""What draws each kind of bleeding, in the order of FINDINGS; `any` is no kind."""


def _scan(rng: np.random.Generator, scanner: Scanner, head: _Head, hu: Field) -> Field:
    """See the painted head through the scanner: blur, beam hardening, scale error, grain, and what the export keeps."""
    frame = head.frame
    hu = gaussian_filter(hu, scanner.psf_mm / 2.355 / frame.pixel, axes=(0, 1))
    deep = np.clip(head.rim / 60, 0, 1)
    hu = hu - (head.rim > 0) * scanner.cupping_hu * (np.sqrt(deep) - 0.4)
    hu = np.where(hu > 0, hu * scanner.gain, hu)
    hu = hu + (scanner.offset_hu + rng.normal(0, 0.5)) * np.clip((hu + 1000) / 1000, 0, 1)
    white = rng.normal(size=hu.shape)
    wide = scanner.grain_mm / frame.pixel
    grain = gaussian_filter(white, 0.5 * wide, axes=(0, 1)) - gaussian_filter(white, 2.0 * wide, axes=(0, 1))
    grain *= scanner.noise_hu * rng.uniform(0.85, 1.15) / grain.std()
    return np.clip(np.rint(hu + grain * np.where(head.scalp > 0, 1.0, 0.4)), *scanner.kept)


def _render(
    rng: np.random.Generator, scanner: Scanner, bleeds: Collection[str], size: int, levels: Field, difficulty: float
) -> NDArray[np.float32]:
    """Draw one head cut at `levels` mm; head, scanner and each kind of bleeding have their own stream of randomness."""
    shape, tissue, machine, *lesions = (np.random.default_rng(s) for s in rng.integers(2**63, size=3 + len(BLEEDS)))
    span = (float(levels[0]), float(levels[0])) if len(levels) == 1 else (8.0, 46.0)
    head = _head(shape, _frame(shape, scanner, size, levels, span))
    hu = np.zeros_like(head.rim)
    for part in (_brain, _old, _bright):
        hu = _paint(hu, part(tissue, head))
    for (name, draw), stream in zip(BLEEDS.items(), lesions, strict=True):
        hu = _paint(hu, draw(stream, head, _force(stream, difficulty)) if name in bleeds else [])
    hu = _paint(hu, _shell(tissue, head))
    return _scan(machine, scanner, head, hu).astype(np.float32)


def _check(size: int, difficulty: float, bleeds: Collection[str] = ()) -> None:
    if size < 32:
        raise Refused(f"phantom: size is {size}; a head needs at least 32 pixels; give size >= 32")
    if not difficulty > 0 or not np.isfinite(difficulty):
        raise Refused(f"phantom: difficulty is {difficulty}; it must be more than 0; give 1.0 for the measured default")
    if unknown := sorted(set(bleeds) - set(BLEEDS)):
        raise Refused(f"phantom: bleeds name {', '.join(unknown)}; known are {', '.join(BLEEDS)}; name only these")


def _level(rng: np.random.Generator) -> float:
    """The height in mm of a slice: the first thing that `slice_hu` draws."""
    return float(rng.uniform(0.0, TOP))


def slice_hu(
    rng: np.random.Generator, scanner: Scanner, bleeds: Collection[str], size: int = 96, difficulty: float = 1.0
) -> NDArray[np.float32]:
    """Draw one axial slice, (size, size) in HU, between the basal ganglia and the vertex.

    The head, the scanner's grain and each bleeding are the same for the same state of `rng` whatever else bleeds.
    """
    _check(size, difficulty, bleeds)
    return _render(rng, scanner, bleeds, size, np.array([_level(rng)]), difficulty)[:, :, 0]


def volume_hu(
    rng: np.random.Generator,
    scanner: Scanner,
    bleeds: Collection[str],
    size: int = 48,
    depth: int = 48,
    difficulty: float = 1.0,
) -> NDArray[np.float32]:
    """Draw one head, (size, size, depth) in HU, its slices in order from the basal ganglia to the vertex."""
    _check(size, difficulty, bleeds)
    if depth < 2:
        raise Refused(f"phantom: depth is {depth}; a volume needs at least 2 slices; give depth >= 2 or use slice_hu")
    return _render(rng, scanner, bleeds, size, np.linspace(-4.0, 72.0, depth), difficulty)


def _stream(*words: object) -> np.random.Generator:
    digest = hashlib.sha256("/".join(map(str, words)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def _positives(site: str, scans: int, seed: int, share: float) -> NDArray[np.bool_]:
    """The scans that bleed: those whose own draw is among the lowest; their number is the rounded share."""
    count = round(share * scans)
    if scans >= 4 and 0 < share < 1:
        count = min(max(count, 1), scans - 1)
    order = np.argsort([_stream(seed, site, i, "bleeds").random() for i in range(scans)], kind="stable")
    return np.isin(np.arange(scans), order[:count])


def _findings(rng: np.random.Generator, mix: tuple[float, ...], hollow: bool) -> NDArray[np.float32]:
    """Draw which of the five bleed: one by the mix, in one of four a second; none in a ventricle not in the slice."""
    shown = np.array(mix, float) * [1, 1, hollow, 1, 1]
    weights = shown if shown.any() else np.array(mix, float)
    count = min(1 + int(rng.random() < 0.25), int(np.count_nonzero(weights)))
    found = np.zeros(6, np.float32)
    found[rng.choice(5, count, replace=False, p=weights / weights.sum())] = found[5] = 1
    return found


def public_phantom(
    scans: int, seed: int = 0, size: int = 96, dims: int = 2, difficulty: float = 1.0
) -> NDArray[np.float32]:
    """Draw the public scans, HU (scans, size, size[, size]): no site's patients, all scanners in equal shares."""
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
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw a site's scans: HU (N, size, size[, size]) and labels (N, 6) of 0 and 1 in the order of FINDINGS.

    Head, grain and kind of bleeding of scan i come from SHA-256 of (seed, site, i) alone. Whether it bleeds at all
    depends on `scans` too: the rounded share `prevalence` (default: the scanner's) does, lowest draws first, and from
    4 scans on both kinds occur unless prevalence is 0 or 1. difficulty > 1 makes bleedings smaller and fainter.
    """
    _check(size, difficulty)
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
    for i, bleeding in enumerate(_positives(site, scans, seed, share)):
        if bleeding:
            hollow = dims == 3 or _level(_stream(seed, site, i)) < ROOF - 6
            labels[i] = _findings(_stream(seed, site, i, "kind"), scanner.mix, hollow)
        names = [name for name, found in zip(FINDINGS[:5], labels[i], strict=False) if found]
        rng = _stream(seed, site, i)
        images[i] = (
            slice_hu(rng, scanner, names, size, difficulty)
            if dims == 2
            else volume_hu(rng, scanner, names, size, size, difficulty)
        )
    return images, labels

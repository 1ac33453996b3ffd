"""Five kinds of bleeding, drawn into a head."""

from collections.abc import Callable

import numpy as np

from brainct.ct.folds import FINDINGS
from brainct.ct.phantom.anatomy import ROOF, Head, spot, ventricles
from brainct.ct.phantom.shapes import Field, Paint, distance, edge, waves

PLAIN, TAIL, FAINT = 2.0, 1.1, (0.1, 0.2)
"""PLAIN: force of an obvious bleeding at difficulty 1. TAIL: range of its log decay. FAINT: share and factor if subtle.

Chosen by measurement: 96 x 96, a DenseNet of 30k parameters, 50 epochs, AdamW one-cycle to 1.5e-3, AUROC of `any` on
60 unseen scans a site. 4 sites x 48 scans pooled 0.94 (five seeds, 0.83 to 0.98), one site's 48 alone 0.72 (0.66 to
0.79); 8 x 16 pooled 0.93 (three seeds, 0.92 to 0.95), 16 alone 0.55. Mean of the 40 brightest brain pixels: 0.63. At
3e-3 one run in eight or so stays on the plateau near 0.5 before it has learnt anything.
"""


def draw_force(rng: np.random.Generator, difficulty: float) -> float:
    """Draw the force, the size and density of a bleeding: 1 is a textbook case, most are obvious, some are subtle."""
    faint = FAINT[1] if rng.random() < FAINT[0] else 1.0
    return float(np.clip(PLAIN / difficulty * np.exp(-TAIL * rng.random() ** 2) * faint, 0.15, 2.0))


def clot_hu(rng: np.random.Generator, head: Head, low: float, high: float, force: float) -> Field:
    """HU of fresh blood with a texture of +-4 HU; force < 1 thins the blood towards the 33 HU of brain."""
    level = 33 + min(force, 1.0) ** 0.4 * (rng.uniform(low, high) - 33)
    clot: Field = level + np.clip(4 * waves(rng, head.frame, 9), -4, 4)
    return clot


def along_bone(rng: np.random.Generator, head: Head, centre: float) -> Field:
    """Distance in mm along the inner table from the angle `centre`."""
    turn = (head.angle - centre + np.pi) % (2 * np.pi) - np.pi
    return distance(turn * (head.reach - head.thick), head.frame.z - rng.uniform(*head.frame.span))


def _epidural(rng: np.random.Generator, head: Head, force: float) -> list[Paint]:
    """A lens under the bone: depth < h (1 - (t/w)^2)."""
    centre = rng.choice((0.0, np.pi)) + rng.normal(0, 0.6)
    high, wide = force * rng.uniform(9, 19), np.sqrt(force) * rng.uniform(26, 42)
    lens = high * (1 - (along_bone(rng, head, centre) / wide) ** 2) - head.rim
    return [(edge(lens, head.frame.pixel), clot_hu(rng, head, 58, 78, force))]


def _subdural(rng: np.random.Generator, head: Head, force: float) -> list[Paint]:
    """A crescent on one hemisphere: depth < h (1 - (t/w)^4); three in ten are old and hardly brighter than brain."""
    side, aged = rng.choice((0.0, np.pi)), rng.random() < 0.3
    high, wide = force * rng.uniform(6, 12), np.sqrt(force) * rng.uniform(55, 95)
    crescent = high * (1 - (along_bone(rng, head, side + rng.normal(0, 0.4)) / wide) ** 4) - head.rim
    half = edge(head.frame.x * np.cos(side) - 2, head.frame.pixel)
    low, top = (38, 52) if aged else (55, 76)
    share = edge(crescent, head.frame.pixel) * half
    return [(share, clot_hu(rng, head, low, top, 1.0 if aged else force))]


def _intraparenchymal(rng: np.random.Generator, head: Head, force: float) -> list[Paint]:
    """A warped ball in its ring of oedema; four in ten are in the deep grey, where the slice shows it."""
    frame = head.frame
    deep = rng.random() < 0.4 and frame.span[0] < 25
    place, radius = spot(rng, head, deep), force * rng.uniform(8, 17)
    rough = waves(rng, frame, 14 + 2 * radius)
    ball = radius * (1 + 0.22 * rough) - place
    inside = edge(head.rim - 2, frame.pixel)
    ring = edge(ball + rng.uniform(3, 8), 1.5 * frame.pixel) * inside * (1 - edge(head.ventricle, frame.pixel))
    return [(0.9 * ring, rng.uniform(15, 23)), (edge(ball, frame.pixel) * inside, clot_hu(rng, head, 56, 80, force))]


def _intraventricular(rng: np.random.Generator, head: Head, force: float) -> list[Paint]:
    """Blood at the back of one or both lateral ventricles, slightly widened; higher slices get raised ventricles."""
    frame, room = head.frame, head.ventricle
    if not (room > 0).any():
        room = ventricles(np.random.default_rng(head.twin), frame, np.minimum(frame.z, ROOF - 10))
    room = room + rng.uniform(0.8, 2.0)
    back = frame.y[room > 0]
    fill = back.min() + min(1.0, 0.15 + force * rng.uniform(0.2, 0.75)) * (back.max() - back.min())
    side, both = rng.choice((-1.0, 1.0)), rng.random() < 0.6
    share = edge(room, frame.pixel) * edge(fill - frame.y, frame.pixel)
    return [(share if both else share * edge(side * frame.x, frame.pixel), clot_hu(rng, head, 54, 78, force))]


def _subarachnoid(rng: np.random.Generator, head: Head, force: float) -> list[Paint]:
    """Blood in the sulci, fissures and cisterns of a sector, diluted by water."""
    frame, soft = head.frame, head.frame.pixel
    centre = rng.choice((0.0, np.pi)) + rng.normal(0, 0.8)
    sector = edge(np.sqrt(force) * rng.uniform(28, 60) - along_bone(rng, head, centre), 10)
    wide = 0.9 + 0.8 * force + frame.wear
    film = np.maximum(wide - head.fissures, 1.2 * force + frame.wear - head.rim)
    share = np.maximum(edge(film, soft) * sector * edge(32 - head.rim, 6), edge(head.pool, soft))
    return [(share, clot_hu(rng, head, 48, 62, force))]


BLEEDS: dict[str, Callable[[np.random.Generator, Head, float], list[Paint]]] = dict(
    zip(FINDINGS, (_epidural, _intraparenchymal, _intraventricular, _subarachnoid, _subdural), strict=False)
)
"""The drawing function of each kind of bleeding, in the order of FINDINGS without `any`."""

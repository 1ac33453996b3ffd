"""Details that bring the phantom nearer to real CT, each by its name; without any it is the plain phantom, bit for bit.

Figures without a source were chosen. Beam hardening: Barrett & Keat, RadioGraphics 24:1679, 2004 (cupping, and dark
bands between dense bones).
"""

import zlib
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from brainct.ct.phantom.anatomy import Head
from brainct.ct.phantom.details import anatomy, bleeds, pictures
from brainct.ct.phantom.details.detail import Detail, Draw
from brainct.ct.phantom.details.skull_base import SKULL_BASE
from brainct.ct.phantom.hemorrhage import BLEEDS
from brainct.ct.phantom.shapes import Paint
from brainct.errors import Refused

DETAILS: dict[str, Detail] = {
    "skull_base": SKULL_BASE,
    "atrophy": anatomy.ATROPHY,
    "gyri": anatomy.GYRI,
    "calcification": anatomy.CALCIFICATION,
    "swelling": anatomy.SWELLING,
    "lobes": bleeds.LOBES,
    "crescents": bleeds.CRESCENTS,
    "cisterns": bleeds.CISTERNS,
    "mass_effect": bleeds.MASS_EFFECT,
    "fine": pictures.FINE,
    "beam_hardening": pictures.BEAM_HARDENING,
    "motion": pictures.MOTION,
    "windows": pictures.WINDOWS,
    "marks": pictures.MARKS,
}
"""Name in a site file's `phantom.detail` -> the detail, in the order in which they are applied."""


class Chosen:
    """The chosen details of one head. key: seed of their random numbers; each detail's do not depend on the others."""

    def __init__(self, names: Collection[str], key: int):
        check_details(names)
        self._details = [(name, detail) for name, detail in DETAILS.items() if name in names]
        self._key = key

    def changed(self, part: str, value: Any, *more: Any) -> Any:
        """The value after this part of every detail: frame, head, scanner, optics or export."""
        for stream, change in self._parts(part):
            value = change(stream, value, *more)
        return value

    def paints(self, part: str, head: Head) -> list[Paint]:
        """What every detail paints as this part: tissue or bone."""
        return [paint for stream, draw in self._parts(part) for paint in draw(stream, head)]

    def draw_of(self, kind: str) -> Draw:
        """How a kind of bleeding is drawn."""
        own = [detail.bleeds[kind] for _, detail in self._details if kind in detail.bleeds]
        return own[-1] if own else BLEEDS[kind]

    def shift_mm(self, masks: Any, pixel: float) -> float:
        """How far the blood pushes the middle of the head to the image's right."""
        return float(sum(push(stream, masks, pixel) for stream, push in self._parts("shift")))

    def _parts(self, part: str) -> list[tuple[np.random.Generator, Callable[..., Any]]]:
        return [
            (np.random.default_rng([self._key, zlib.crc32(f"{name}/{part}".encode())]), own)
            for name, detail in self._details
            if (own := getattr(detail, part)) is not None
        ]


def check_details(names: Collection[str]) -> None:
    """Refused: a name that no detail has."""
    if unknown := sorted(set(names) - set(DETAILS)):
        raise Refused(f"phantom: unknown detail {', '.join(unknown)}; known are {', '.join(DETAILS)}; use only these")

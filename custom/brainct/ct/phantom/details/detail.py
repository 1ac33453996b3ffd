"""What a detail of the phantom is: one named way in which it comes nearer to real CT."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from brainct.ct.phantom.anatomy import Head
from brainct.ct.phantom.scanners import Scanner
from brainct.ct.phantom.shapes import Field, Frame, Paint

Rng = np.random.Generator
Draw = Callable[[Rng, Head, float], list[Paint]]
"""Draws a bleeding of a force into a head; the last layer is the blood, as in `hemorrhage.BLEEDS`."""


@dataclass(frozen=True)
class Detail:
    """One detail; each of its parts has a random stream of its own, and a part that it lacks changes nothing.

    about: what it adds, for people. frame: other coordinates, before the head is shaped. head: other depths in mm.
    tissue: painted over the brain, under the bleeding. bleeds: how these kinds are drawn in place of the plain way.
    shift: how far, in mm to the image's right, the blood of these masks pushes the middle of the head; also gets the
    pixel's side in mm. bone: painted over blood and skull. scanner: another scanner. optics: other HU of the painted
    head, before the scanner's blur and noise. export: other HU of the finished picture.
    """

    about: str
    frame: Callable[[Rng, Frame], Frame] | None = None
    head: Callable[[Rng, Head], Head] | None = None
    tissue: Callable[[Rng, Head], list[Paint]] | None = None
    bleeds: Mapping[str, Draw] = field(default_factory=dict)
    shift: Callable[[Rng, NDArray[np.bool_], float], float] | None = None
    bone: Callable[[Rng, Head], list[Paint]] | None = None
    scanner: Callable[[Rng, Scanner], Scanner] | None = None
    optics: Callable[[Rng, Field, Head], Field] | None = None
    export: Callable[[Rng, Field, Head], Field] | None = None

"""The synthetic head CT: the same on every call, plausible in HU, and bleeding shows in the lesion alone."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from brainct.ct.phantom import BLEEDS, SCANNERS, Scanner, phantom, scanner_of, slice_hu, volume_hu
from brainct.ct.scans import FINDINGS
from brainct.errors import Refused

TRAUMA = SCANNERS[0]
LESS_THAN_NOISE = 1.0


def draw(seed: int, *bleeds: str, scanner: Scanner = TRAUMA, size: int = 96, difficulty: float = 1.0) -> NDArray[np.float32]:
    return slice_hu(np.random.default_rng(seed), scanner, bleeds, size, difficulty)

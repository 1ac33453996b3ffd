"""Whether a head lies on its side, and whether something is written outside it; both from the picture alone."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Grey = NDArray[np.float32]
INK = 0.15
"""Grey from which a pixel of a windowed scan is not air."""
LONGER = 1.12
"""A head is longer than wide, 1.1 to 1.4 times; one that is this much wider than long lies on its side."""
MARKS = 3
"""Separate marks outside the head from which text is suspected; the scanner's table is one or two."""


def head_of(grey: Grey) -> NDArray[np.bool_]:
    """The largest connected part that is not air, holes filled, (H, W)."""
    parts, count = ndimage.label(grey > INK)
    if not count:
        return np.zeros(grey.shape, bool)
    sizes = np.bincount(parts.ravel())[1:]
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(parts == 1 + int(np.argmax(sizes)))
    return filled


def lying(grey: Grey) -> bool:
    """Whether the head in a slice (H, W) in [0, 1] is clearly wider than long, by its second moments."""
    rows, columns = np.nonzero(head_of(grey))
    if len(rows) < 0.05 * grey.size:
        return False
    return bool(columns.std() > LONGER * rows.std())


def letters(grey: Grey) -> bool:
    """Whether there are several small bright marks outside the head, as letters are."""
    head = ndimage.binary_dilation(head_of(grey), iterations=2)
    parts, count = ndimage.label((grey > 0.5) & ~head)
    sizes = np.bincount(parts.ravel())[1:]
    return int((sizes <= 0.01 * grey.size).sum()) >= MARKS if count else False

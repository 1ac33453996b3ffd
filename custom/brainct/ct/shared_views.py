"""Subsets of one large tensor that share its memory."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from torch import Tensor

from brainct.ct.split import Ints

Key = TypeVar("Key")


def shared_views(images: Tensor, sets: Mapping[Key, Ints]) -> dict[Key, Tensor]:
    """images[which] for each index set by its key; sets that are disjoint or equal are views and need no memory.

    The images are reordered in place, so the caller's tensor is used up: the shares of many sites then need the memory
    of one large data set once, not twice.
    """
    order: list[int] = []
    found: dict[bytes, slice | Tensor] = {}
    for which in sets.values():
        if which.tobytes() in found:
            continue
        overlap = np.isin(which, order).any()
        found[which.tobytes()] = images[which] if overlap else slice(len(order), len(order) + len(which))
        order += [] if overlap else which.tolist()
    _reorder(images, [*order, *np.setdiff1d(np.arange(len(images)), order).tolist()])
    places = {key: found[which.tobytes()] for key, which in sets.items()}
    return {key: images[place] if isinstance(place, slice) else place for key, place in places.items()}


def _reorder(images: Tensor, order: Sequence[int]) -> None:
    """images[i] becomes the old images[order[i]], along the cycles of the permutation, with one image as buffer."""
    done = [False] * len(order)
    for start in range(len(order)):
        buffer, at = images[start].clone(), start
        while not done[at]:
            done[at], source = True, order[at]
            images[at] = buffer if source == start else images[source]
            at = source

"""Means of measurements that are nested dicts and lists of numbers."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any


def mean_of_trees(trees: Sequence[Any]) -> Any:
    """The mean of trees of one shape: dicts, lists, numbers; None wherever one tree has None; words as in the first."""
    first = trees[0]
    if any(tree is None for tree in trees):
        return None
    if isinstance(first, Mapping):
        return {key: mean_of_trees([tree[key] for tree in trees]) for key in first}
    if isinstance(first, list):
        return [mean_of_trees(list(items)) for items in zip(*trees, strict=True)]
    return first if isinstance(first, str | int) else fmean(trees)

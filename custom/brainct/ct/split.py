"""Splits scans into train, valid and test: by label and seed, never one patient or one image into two folds."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

ALIKE = 0.92
"""Correlation from which two thumbnails count as one patient's, where patients are unknown.

Measured on 140 slices of the public set Head CT, thumbnails cut to the head: every copy and re-crop has 0.945 or
more, neighbouring slices of one patient 0.89 to 0.96, the closest pair of two patients 0.901.
"""

COPY = 0.99
"""The same where every patient is known: only copies under a second name are left to find, and in a large set the few
pairs of different patients that reach ALIKE would join all patients into one group."""

_BRAIN = slice(5, 27)
"""The middle 22 of a thumbnail's 32 rows and columns: inside the skull, whose outline is similar in all heads."""


def groups(thumbnails: Floats, patients: Sequence[str | None]) -> Ints:
    """(N,) group of each scan: scans of one patient, and near duplicates, share one number.

    thumbnails: (N, ..., 32, 32) of the head; patients: N names, None where unknown.
    """
    return join_groups(near_duplicates(thumbnails, duplicate_threshold(patients)), patients)


def duplicate_threshold(patients: Sequence[str | None]) -> float:
    """The correlation from which two scans count as one patient's: ALIKE, or COPY where every patient is known."""
    return ALIKE if None in patients else COPY


def join_groups(pairs: Iterable[tuple[int, int]], patients: Sequence[str | None]) -> Ints:
    """(N,) group of each scan from the pairs of near duplicates; groups count from 0 in order of their first scan."""
    first: dict[str, int] = {}
    same = [(first.setdefault(patient, scan), scan) for scan, patient in enumerate(patients) if patient is not None]
    edges = np.array([*same, *pairs], np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(len(patients),) * 2)
    component = connected_components(graph, directed=False)[1]
    _, lowest, place = np.unique(component, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(lowest))[place].astype(np.int64)


def near_duplicates(thumbnails: Floats, alike: float = ALIKE, block: int = 1024) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, whose thumbnails correlate at `alike` or above; blank thumbnails correlate with nothing."""
    inner = thumbnails[..., _BRAIN, _BRAIN].reshape(len(thumbnails), -1).astype(np.float64)
    inner = inner - inner.mean(1, keepdims=True)
    norm = np.linalg.norm(inner, axis=1, keepdims=True)
    unit = np.divide(inner, norm, out=np.zeros_like(inner), where=norm > 1e-6)
    pairs = []
    for start in range(0, len(unit), block):
        rows, columns = np.nonzero(unit[start : start + block] @ unit.T >= alike)
        pairs += [(start + int(i), int(j)) for i, j in zip(rows, columns, strict=True) if start + i < j]
    return pairs


def split_folds(labels: Floats, groups: Ints, fractions: Sequence[float], seed: int) -> Ints:
    """(N,) fold of each scan as an index into `fractions`; groups stay whole, `any` is spread evenly.

    labels: (N,) of `any`: 0, 1 or NaN. fractions: sum 1; a fold of fraction 0 stays empty. No other fold is empty if
    there are enough groups; otherwise the first folds are filled.
    """
    rng = np.random.default_rng(seed)
    wanted = np.asarray(fractions, float)
    fold_of = np.zeros(len(labels), np.int64)
    have = np.zeros(len(wanted))
    members = members_of(groups)
    strata = np.array([stratum(labels[scans]) for scans in members])
    owed = np.zeros(len(wanted))
    for kind in np.unique(strata):
        own = [members[at] for at in rng.permutation(np.flatnonzero(strata == kind))]
        owed = owed + wanted * sum(map(len, own))
        for scans in sorted(own, key=len, reverse=True):
            fold = int(np.argmax(owed - have))
            fold_of[scans] = fold
            have[fold] += len(scans)
    return _none_empty(fold_of, members, wanted)


def members_of(groups: Ints) -> list[Ints]:
    """The scans of each group, groups in ascending order."""
    return [np.flatnonzero(groups == each) for each in np.unique(groups)]


def stratum(labels: Floats) -> int:
    """Class of a group by its `any` labels: 1 if one is positive, 0 if all known are negative, 2 if none is known."""
    known = labels[~np.isnan(labels)]
    return int(known.max()) if len(known) else 2


def _none_empty(fold_of: Ints, members: Sequence[Ints], wanted: NDArray[np.float64]) -> Ints:
    home = np.array([fold_of[scans[0]] for scans in members], np.int64)
    for fold in np.flatnonzero(wanted > 0).tolist():
        count = np.bincount(home, minlength=len(wanted))
        later = np.flatnonzero((count > 1) | ((count > 0) & (np.arange(len(wanted)) > fold)))
        if count[fold] == 0 and len(later):
            donor = later[np.argmax(count[later])]
            giver = np.flatnonzero(home == donor)
            home[min(giver.tolist(), key=lambda at: len(members[at]))] = fold
    moved = fold_of.copy()
    for scans, fold in zip(members, home, strict=True):
        moved[scans] = fold
    return moved

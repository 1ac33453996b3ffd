"""Partitions one data set among the sites of a simulation: evenly, with skewed labels, or in unequal shares.

Label skew by a Dirichlet distribution over shares of one size: Hsu, Qi, Brown, arXiv:1909.06335, section 3.
"""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from brainct.ct.site_choices import Partition
from brainct.ct.split import Floats, Ints, members_of, split_folds, stratum
from brainct.errors import Refused

Fractions = tuple[float, float, float]
UNUSED, PUBLIC, TEST = -1, -2, 2


def partition_scans(labels: Floats, groups: Ints, fractions: Fractions, choices: Partition, sites: int) -> list[Ints]:
    """For each of the sorted sites an (N,) array: 0 train, 1 valid, 2 test, -1 not at this site, -2 public.

    labels: (N,) of `any`. groups: (N,), each in one fold and at one site only; a share may use a part of a group.
    fractions: train, valid, test. A share depends on the data, the seed, its site's place and the number of sites. The
    shared test fold does not depend on that number unless it is the rest. Raises Refused if there are too few scans.
    """
    own_test = fractions[2] if choices.test == "own" else 0.0
    total = fractions[0] + fractions[1] + own_test
    inner = (fractions[0] / total, fractions[1] / total, own_test / total)
    share = None if choices.scans is None else int(np.ceil(choices.scans / inner[0] - 1e-9))
    rng = np.random.default_rng(choices.seed)
    units = _stratified(members_of(groups), labels, rng)
    _check_enough(sites, len(labels), len(units))
    test, left = _test_groups(units, fractions, choices)
    public, left = _public_groups(left, choices)
    _check_enough(sites, len(labels), len(left))
    sizes = _sizes(sum(map(len, left)), share, choices, sites, rng)
    pool, spare = _first(left, int(sizes.sum()))
    wishes = _wishes(pool, labels, sizes, choices, rng)
    shares = _shares([pool[at] for at in rng.permutation(len(pool))], spare, labels, sizes, wishes)
    if choices.test_scans == "rest":
        test = _rest(spare, shares)
    return [_fold_of_each(labels, groups, own, test, public, inner, choices.seed) for own in shares]


def _stratified(units: Sequence[Ints], labels: Floats, rng: Generator) -> list[Ints]:
    """The groups shuffled, each kind of label spread evenly over the list, so that every prefix is stratified."""
    kinds = np.array([stratum(labels[unit]) for unit in units])
    place = np.zeros(len(units))
    for kind in np.unique(kinds):
        own = rng.permutation(np.flatnonzero(kinds == kind))
        place[own] = (np.arange(len(own)) + 0.5) / len(own)
    return [units[at] for at in np.argsort(place, kind="stable")]


def _check_enough(sites: int, images: int, units: int) -> None:
    if sites > images:
        raise Refused(f"{sites} sites but only {images} images: simulate fewer sites")
    if sites > units:
        raise Refused(f"{sites} sites but only {units} patients or sets of near duplicates: simulate fewer sites")


def _test_groups(units: Sequence[Ints], fractions: Fractions, choices: Partition) -> tuple[list[Ints], list[Ints]]:
    """The groups of the shared test fold, and those left to partition."""
    count = sum(map(len, units))
    wanted = round(fractions[TEST] * count) if choices.test_scans is None else choices.test_scans
    if choices.test == "own" or isinstance(wanted, str):
        return [], list(units)
    if wanted >= count:
        raise Refused(f"`partition.test_scans`: got {wanted}, wanted fewer than the {count} scans of the data set")
    return _first(units, wanted)


def _public_groups(units: list[Ints], choices: Partition) -> tuple[list[Ints], list[Ints]]:
    """The groups of the public set, and those left to partition."""
    if choices.public is None:
        return [], units
    count = sum(map(len, units))
    if choices.public >= count:
        raise Refused(
            f"`partition.public`: got {choices.public}, wanted fewer than the {count} scans outside the test fold"
        )
    return _first(units, choices.public)


def _rest(spare: Sequence[Ints], shares: Sequence[Ints]) -> list[Ints]:
    used = np.concatenate(shares)
    test = [unit for unit in spare if not np.isin(unit, used).any()]
    if not test:
        raise Refused(
            f"the sites' {len(used)} scans leave no test scan: lower `partition.scans` or simulate fewer sites"
        )
    return test


def _first(units: Sequence[Ints], wanted: int) -> tuple[list[Ints], list[Ints]]:
    """The first groups that add up to `wanted` scans, skipping those too large; slightly more if none fits."""
    taken: list[Ints] = []
    rest: list[Ints] = []
    room = wanted
    for unit in units:
        fits = len(unit) <= room
        (taken if fits else rest).append(unit)
        room -= len(unit) * fits
    if room and rest:
        smallest = min(range(len(rest)), key=lambda at: len(rest[at]))
        taken.append(rest.pop(smallest))
    return taken, rest


def _sizes(pool: int, share: int | None, choices: Partition, sites: int, rng: Generator) -> Ints:
    """(sites,) number of scans in each share, each at least 1."""
    total = pool if share is None else share * sites
    if total > pool:
        raise Refused(f"{sites} sites with {share} scans each need {total}, {pool} are left: lower `partition.scans`")
    parts = np.full(sites, 1 / sites)
    if choices.how == "size":
        parts = rng.dirichlet(np.full(sites, choices.alpha))
    ends = np.round(np.cumsum(parts) * (total - sites)).astype(np.int64)
    return 1 + np.diff(ends, prepend=0)


def _wishes(
    pool: Sequence[Ints], labels: Floats, sizes: Ints, choices: Partition, rng: Generator
) -> NDArray[np.float64]:
    """(sites, 3) wanted scans of each site: negative, positive, unlabelled; zeros if labels do not matter."""
    wishes = np.zeros((len(sizes), 3))
    if choices.how == "dirichlet":
        kinds = np.array([stratum(labels[unit]) for unit in pool])
        prior = np.bincount(kinds, [len(unit) for unit in pool], minlength=3)
        there = np.flatnonzero(prior)
        parts = rng.dirichlet(choices.alpha * prior[there] / prior.sum() * len(there), size=len(sizes))
        wishes[:, there] = parts * sizes[:, None]
    return wishes


def _shares(
    units: Sequence[Ints], spare: Sequence[Ints], labels: Floats, sizes: Ints, wishes: NDArray[np.float64]
) -> list[Ints]:
    """Large groups first, each to the site that most wants its kind, then has most room; a group too large is cut.

    Room that a cut leaves at a site is filled with `spare` groups.
    """
    room, left = sizes.copy(), wishes.copy()
    shares: list[list[int]] = [[] for _ in sizes]
    ordered = [*sorted(units, key=len, reverse=True), *spare]
    for at, unit in enumerate(ordered):
        empty = np.array([not share for share in shares])
        open_to = empty if empty.sum() >= len(ordered) - at else room > 0
        if not open_to.any():
            break
        kind = stratum(labels[unit])
        site = int(np.lexsort((room, np.maximum(left[:, kind], 0), open_to))[-1])
        own = unit[: room[site]]
        shares[site] += own.tolist()
        room[site] -= len(own)
        left[site, kind] -= len(own)
    return [np.array(sorted(share), np.int64) for share in shares]


def _fold_of_each(
    labels: Floats,
    groups: Ints,
    own: Ints,
    test: Sequence[Ints],
    public: Sequence[Ints],
    inner: Fractions,
    seed: int,
) -> Ints:
    fold_of = np.full(len(labels), UNUSED, np.int64)
    fold_of[own] = split_folds(labels[own], groups[own], inner, seed)
    for kind, units in ((TEST, test), (PUBLIC, public)):
        for unit in units:
            fold_of[unit] = kind
    return fold_of

"""Deals one data set out to the sites of a simulation: even, with skewed labels, or in unequal shares.

Label skew by a Dirichlet distribution over shares of one size: Hsu, Qi, Brown, arXiv:1909.06335, section 3.
"""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from brainct.ct.site_config import Deal
from brainct.ct.split import Floats, Ints, members_of, split, stratum
from brainct.errors import Refused

Fractions = tuple[float, float, float]
UNUSED, PUBLIC, TEST = -1, -2, 2


def dealt(labels: Floats, groups: Ints, fractions: Fractions, deal: Deal, sites: int) -> list[Ints]:
    """For each of the sorted sites an (N,) array: 0 train, 1 valid, 2 test, -1 not this site's, -2 public.

    labels: (N,) of `any`; groups: (N,), none is ever in two folds or at two sites, though a share may take only a part
    of one; fractions: train, valid, test. A share depends on the data, the seed, the site's place and the number of
    sites; the shared test, unless it is the rest, not even on the latter. Raises Refused when scans are lacking.
    """
    own_test = fractions[2] if deal.test == "dealt" else 0.0
    kept = fractions[0] + fractions[1] + own_test
    inner = (fractions[0] / kept, fractions[1] / kept, own_test / kept)
    share = None if deal.scans is None else int(np.ceil(deal.scans / inner[0] - 1e-9))
    rng = np.random.default_rng(deal.seed)
    units = _evenly(members_of(groups), labels, rng)
    _enough(sites, len(labels), len(units))
    test, left = _held_out(units, fractions, deal)
    public, left = _set_aside(left, deal)
    _enough(sites, len(labels), len(left))
    sizes = _sizes(sum(map(len, left)), share, deal, sites, rng)
    pool, spare = _first(left, int(sizes.sum()))
    wishes = _wishes(pool, labels, sizes, deal, rng)
    shares = _shares([pool[at] for at in rng.permutation(len(pool))], spare, labels, sizes, wishes)
    if deal.test_scans == "rest":
        test = _untouched(spare, shares)
    return [_laid(labels, groups, own, test, public, inner, deal.seed) for own in shares]


def _evenly(units: Sequence[Ints], labels: Floats, rng: Generator) -> list[Ints]:
    """The groups shuffled, each kind of label spread evenly over the list: any beginning of it is stratified."""
    kinds = np.array([stratum(labels[unit]) for unit in units])
    place = np.zeros(len(units))
    for kind in np.unique(kinds):
        own = rng.permutation(np.flatnonzero(kinds == kind))
        place[own] = (np.arange(len(own)) + 0.5) / len(own)
    return [units[at] for at in np.argsort(place, kind="stable")]


def _enough(sites: int, images: int, units: int) -> None:
    if sites > images:
        raise Refused(f"{sites} sites but only {images} images: simulate fewer sites")
    if sites > units:
        raise Refused(f"{sites} sites but only {units} patients or sets of near duplicates to deal: simulate fewer")


def _held_out(units: Sequence[Ints], fractions: Fractions, deal: Deal) -> tuple[list[Ints], list[Ints]]:
    """The groups of the shared test fold, and those left to deal."""
    count = sum(map(len, units))
    wanted = round(fractions[TEST] * count) if deal.test_scans is None else deal.test_scans
    if deal.test == "dealt" or isinstance(wanted, str):
        return [], list(units)
    if wanted >= count:
        raise Refused(f"`deal.test_scans`: got {wanted}, wanted fewer than the {count} scans there are")
    return _first(units, wanted)


def _set_aside(units: list[Ints], deal: Deal) -> tuple[list[Ints], list[Ints]]:
    """The groups of the public set, and those left to deal."""
    if deal.public is None:
        return [], units
    count = sum(map(len, units))
    if deal.public >= count:
        raise Refused(
            f"`deal.public`: got {deal.public}, wanted fewer than the {count} scans that are not for the test"
        )
    return _first(units, deal.public)


def _untouched(spare: Sequence[Ints], shares: Sequence[Ints]) -> list[Ints]:
    used = np.concatenate(shares)
    test = [unit for unit in spare if not np.isin(unit, used).any()]
    if not test:
        raise Refused(f"the sites' {len(used)} scans leave none to test on: lower `deal.scans` or simulate fewer sites")
    return test


def _first(units: Sequence[Ints], wanted: int) -> tuple[list[Ints], list[Ints]]:
    """Groups from the front that add up to `wanted` scans, passing over those too large; a few more if none fits."""
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


def _sizes(pool: int, share: int | None, deal: Deal, sites: int, rng: Generator) -> Ints:
    """(sites,) scans of each share, each at least 1."""
    total = pool if share is None else share * sites
    if total > pool:
        raise Refused(f"{sites} sites with {share} scans each need {total}, {pool} can be dealt: lower `deal.scans`")
    parts = np.full(sites, 1 / sites)
    if deal.how == "size":
        parts = rng.dirichlet(np.full(sites, deal.alpha))
    ends = np.round(np.cumsum(parts) * (total - sites)).astype(np.int64)
    return 1 + np.diff(ends, prepend=0)


def _wishes(pool: Sequence[Ints], labels: Floats, sizes: Ints, deal: Deal, rng: Generator) -> NDArray[np.float64]:
    """(sites, 3) scans each site would like of negatives, positives and unlabelled; zeros when it does not matter."""
    wishes = np.zeros((len(sizes), 3))
    if deal.how == "dirichlet":
        kinds = np.array([stratum(labels[unit]) for unit in pool])
        prior = np.bincount(kinds, [len(unit) for unit in pool], minlength=3)
        there = np.flatnonzero(prior)
        parts = rng.dirichlet(deal.alpha * prior[there] / prior.sum() * len(there), size=len(sizes))
        wishes[:, there] = parts * sizes[:, None]
    return wishes


def _shares(
    units: Sequence[Ints], spare: Sequence[Ints], labels: Floats, sizes: Ints, wishes: NDArray[np.float64]
) -> list[Ints]:
    """Large groups first, each to the site that most wants its kind, then has most room; what does not fit is cut.

    What was cut may leave room at a site: `spare` groups fill it.
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


def _laid(
    labels: Floats,
    groups: Ints,
    own: Ints,
    test: Sequence[Ints],
    public: Sequence[Ints],
    inner: Fractions,
    seed: int,
) -> Ints:
    fold_of = np.full(len(labels), UNUSED, np.int64)
    fold_of[own] = split(labels[own], groups[own], inner, seed)
    for kind, units in ((TEST, test), (PUBLIC, public)):
        for unit in units:
            fold_of[unit] = kind
    return fold_of

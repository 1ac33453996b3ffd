"""Deals one data set out to the sites of a simulation: even, with skewed labels, or in unequal shares.

Label skew by a Dirichlet distribution: Hsu, Qi, Brown, arXiv:1909.06335, with shares of equal size.
"""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from brainct.ct.sitefile import Deal
from brainct.ct.split import Floats, Ints, members_of, split, stratum
from brainct.errors import Refused

UNUSED, TEST = -1, 2


def dealt(labels: Floats, groups: Ints, fractions: Sequence[float], deal: Deal, sites: int) -> list[Ints]:
    """For each of the sorted sites an (N,) array: 0 train, 1 valid, 2 test, -1 not this site's.

    labels: (N,) of `any`; groups: (N,), never divided, neither between folds nor between sites; fractions: train, valid,
    test. A share depends on the seed, the site's place and the number of sites alone. Raises Refused when it cannot be.
    """
    if sites > len(labels):
        raise Refused(f"{sites} sites but only {len(labels)} images: simulate fewer sites")
    rng = np.random.default_rng([deal.seed, sites])
    members = [scans[rng.permutation(len(scans))] for scans in members_of(groups)]
    members = [members[at] for at in rng.permutation(len(members))]
    test, pool = _held_out(members, labels, fractions, deal, sites)
    kept = fractions[0] + fractions[1] + (fractions[2] if deal.test == "dealt" else 0.0)
    shares = _shares(pool, labels, _sizes(pool, deal, fractions[0] / kept, sites, rng), deal, rng)
    inner = [each / kept for each in (fractions[0], fractions[1], fractions[2] if deal.test == "dealt" else 0.0)]
    return [_laid(labels, groups, share, test, inner, deal.seed) for share in shares]


def _held_out(
    members: Sequence[Ints], labels: Floats, fractions: Sequence[float], deal: Deal, sites: int
) -> tuple[list[Ints], list[Ints]]:
    """The groups of the shared test fold and those that are dealt, in the order given."""
    count = sum(map(len, members))
    if deal.test == "dealt":
        return [], list(members)
    if deal.test_scans == "rest":
        wanted = count - _needed(deal, fractions, sites)
    else:
        wanted = int(deal.test_scans) if deal.test_scans is not None else round(fractions[2] * count)
    ...
    return [], list(members)

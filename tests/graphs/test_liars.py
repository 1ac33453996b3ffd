"""One of five sites lies about its scores: what each aggregate makes of it."""

import functools
import zlib

import numpy as np
import pytest

from brainct.graphs.aggregate import aggregate
from brainct.graphs.search import search
from tests.causal.tables import shd
from tests.graphs.population import sampled, truth, weights
from tests.graphs.test_oracles import regrets_of


def drawn_for(family):
    """A regret that has nothing to do with the data, the same whenever it is asked for."""
    return -float(np.random.default_rng(zlib.crc32(str(family).encode())).exponential(100))


LIES = {
    "none": lambda family, told: told,
    "random": lambda family, told: drawn_for(family),
}


@functools.cache
def wrong(kind, lie):
    """Pairs with wrong marks, over four graphs."""
    count = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        w = weights(5, rng)
        regrets = regrets_of([sampled(w, 400, rng) for _ in range(5)], "dag")

        def told(family, regrets=regrets):
            first, *others = regrets(family)
            return aggregate(kind, [LIES[lie](family, first), *others])

        found = search(5, lambda families, told=told: {one: told(one) for one in families})
        count += shd(found.graph, truth(w))
    return count


@pytest.mark.slow
def test_random_scores_of_one_site_spoil_the_minimum_far_more_than_the_median():
    assert wrong("min", "random") > wrong("median", "random") + 8

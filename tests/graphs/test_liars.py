"""One of five sites sends wrong scores in one of three ways: what each aggregate makes of it."""

import functools
import zlib

import numpy as np
import pytest

from brainct.graphs.aggregate import ALL, BySite, score_of
from brainct.graphs.search import search
from tests.causal.tables import shd
from tests.graphs.population import sampled, truth, weights
from tests.graphs.test_oracles import regrets_of

WAYS = {
    "none": lambda family, told: told,
    "random": lambda family, told: -float(np.random.default_rng(zlib.crc32(str(family).encode())).exponential(100)),
    "turned": lambda family, told: -told,
    "times 100": lambda family, told: 100 * told,
}
GRAPHS = 8


@functools.cache
def sites_of(seed):
    rng = np.random.default_rng(seed)
    w = weights(5, rng)
    return w, functools.cache(regrets_of([sampled(w, 400, rng) for _ in range(5)], "dag"))


@functools.cache
def wrong(kind, way):
    """Pairs with wrong marks, mean over the graphs."""
    count = 0
    for seed in range(GRAPHS):
        w, regrets = sites_of(seed)

        def told(family, regrets=regrets):
            first, *others = regrets(family)
            return score_of(kind, [WAYS[way](family, first), *others])

        found = search(5, lambda families, told=told: {one: told(one) for one in families})
        count += shd(found.graph, truth(w))
    return count / GRAPHS


def test_the_gain_is_the_median_of_the_sites_gains_and_not_of_their_scores():
    before, after = BySite((0.0, -100.0, -300.0)), BySite((10.0, -90.0, -1000.0))
    assert after - before == pytest.approx(3 * 10.0)


@pytest.mark.slow
@pytest.mark.parametrize("way", list(WAYS))
def test_the_median_is_hardly_worse_with_a_byzantine_site_than_without(way):
    assert wrong("median", way) <= wrong("median", "none") + 0.5


@pytest.mark.slow
def test_random_scores_of_one_site_spoil_the_minimum_and_the_sum():
    for kind in set(ALL) - {"median"}:
        assert wrong(kind, "random") > wrong("median", "random") + 3

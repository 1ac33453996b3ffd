"""What is true of the geometric median alone."""

import pytest
import torch

from brainct.errors import Refused
from brainct.schemes.geometric_median import geometric_median
from tests.support.byzantine import FACTORS, byzantine, close_a_round, flat, honest, same


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize(("sound", "liars"), [(2, 1), (5, 1), (3, 2), (5, 4)])
def test_as_many_byzantine_sites_as_stated_move_it_no_further_than_the_bound(sound, liars, factor):
    """|z - c| <= 2/(m - 2f) sum |x_i - c| over the honest.

    z has the least sum of distances to all: sum_all |x - z| <= sum_all |x - c|. An honest one has
    |x - z| >= |z - c| - |x - c|, another |x - z| >= |x - c| - |z - c|; together (m - 2f) |z - c| <= 2 sum |x - c|.
    """
    told = honest(sound)
    points = torch.stack([flat(weights) for weights in told])
    found = flat(close_a_round(geometric_median(liars), told + byzantine(factor, liars)))
    for center in (points.mean(0), points[0], torch.full((5,), 5.0, dtype=torch.float64)):
        most = 2 / (sound - liars) * float((points - center).norm(dim=1).sum())
        assert float((found - center).norm()) <= most * (1 + 1e-6)


def test_no_point_nearby_has_a_smaller_sum_of_distances():
    models = honest(6, seed=4)
    points = torch.stack([flat(weights) for weights in models])
    found = flat(close_a_round(geometric_median(), models))
    rng = torch.Generator().manual_seed(0)
    least = (points - found).norm(dim=1).sum()
    for _ in range(50):
        step = torch.randn(5, generator=rng, dtype=torch.float64) * 1e-3
        assert (points - found - step).norm(dim=1).sum() >= least - 1e-9


def test_sites_that_agree_are_believed_to_the_bit_and_so_are_more_than_half_that_do():
    one, other = honest(2)
    assert same(close_a_round(geometric_median(), [one] * 3), one)
    assert same(close_a_round(geometric_median(), [one, one, one, other, other]), one)


def test_too_few_sites_or_an_argument_out_of_range_are_refused():
    with pytest.raises(Refused, match="geometric_median: the federation has 2 sites; .* needs at least 3"):
        close_a_round(geometric_median(), honest(2))
    with pytest.raises(Refused, match="geometric_median: liars is -1"):
        geometric_median(liars=-1)
    with pytest.raises(Refused, match="geometric_median: iterations is 0; wanted a whole number of at least 1"):
        geometric_median(iterations=0)

"""What is true of the trimmed mean alone."""

import pytest
import torch

from brainct.errors import Refused
from brainct.schemes.median import median
from brainct.schemes.trimmed_mean import trimmed_mean
from tests.support.byzantine import FACTORS, byzantine, close_a_round, flat, honest, same, within


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize(("sound", "liars"), [(2, 1), (4, 1), (3, 2), (6, 2)])
def test_as_many_byzantine_sites_as_are_trimmed_leave_each_coordinate_among_the_honest_ones(sound, liars, factor):
    told = honest(sound)
    assert within(close_a_round(trimmed_mean(trim=liars), told + byzantine(factor, liars)), told)


def test_one_byzantine_site_more_than_is_trimmed_gets_through_so_the_bound_is_sharp():
    told = honest(6)
    assert not within(close_a_round(trimmed_mean(trim=1), told + byzantine(1e6, 2)), told)


@pytest.mark.parametrize(("trim", "count"), [(0, 4), (1, 3), (1, 6), (2, 7)])
def test_it_is_the_mean_of_what_is_left_after_just_so_many_on_each_side(trim, count):
    models = honest(count)
    columns = torch.stack([flat(weights) for weights in models]).T.tolist()
    wanted = [sum(sorted(column)[trim : count - trim]) / (count - 2 * trim) for column in columns]
    torch.testing.assert_close(flat(close_a_round(trimmed_mean(trim), models)).tolist(), wanted, rtol=1e-6, atol=0)


def test_trimmed_to_the_last_it_is_the_median():
    models = honest(5)
    assert same(close_a_round(trimmed_mean(2), models), close_a_round(median(2), models))


def test_sites_that_agree_are_believed_to_the_bit():
    one = honest(1)[0]
    assert same(close_a_round(trimmed_mean(), [one] * 3), one)


def test_it_never_trims_less_than_it_says():
    with pytest.raises(Refused, match="trimmed_mean: the federation has 4 sites; .* needs at least 5"):
        close_a_round(trimmed_mean(2), honest(4))
    assert [trimmed_mean(2).quorum(asked) for asked in (3, 5, 12)] == [3, 5, 7]


@pytest.mark.parametrize("trim", [-1, 0.1, True])
def test_a_trim_out_of_range_is_refused(trim):
    with pytest.raises(Refused, match="trimmed_mean: trim is .*; wanted a whole number of at least 0"):
        trimmed_mean(trim)

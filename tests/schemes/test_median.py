"""What is true of the coordinate-wise median alone."""

import pytest
import torch

from brainct.errors import Refused
from brainct.schemes.median import median
from tests.support.byzantine import FACTORS, byzantine, close_a_round, flat, honest, same, within


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize(("sound", "liars"), [(2, 1), (3, 1), (3, 2), (4, 3)])
def test_as_many_byzantine_sites_as_stated_leave_each_coordinate_among_the_honest_ones(sound, liars, factor):
    told = honest(sound)
    for models in (told + byzantine(factor, liars), byzantine(factor, liars) + told):
        assert within(close_a_round(median(liars=liars), models), told)


def test_one_byzantine_site_more_than_half_is_believed_so_the_bound_is_sharp():
    told = honest(2)
    assert not within(close_a_round(median(liars=0), told + byzantine(1e6, 3)), told)


def test_of_an_odd_number_it_is_the_middle_value_and_of_an_even_number_the_mean_of_the_middle_two():
    for count in (3, 4, 5):
        models = honest(count)
        ordered = torch.stack([flat(weights) for weights in models]).sort(0).values
        wanted = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
        assert torch.equal(flat(close_a_round(median(), models)), wanted.float().double())


def test_a_counter_of_a_byzantine_site_is_still_the_largest_as_in_every_mean():
    told = honest(3)
    assert close_a_round(median(), told[:2] + [{**told[2], "steps": torch.tensor(9)}])["steps"] == 9


def test_sites_that_agree_are_believed_to_the_bit():
    one = honest(1)[0]
    assert same(close_a_round(median(), [one] * 4), one)


def test_too_few_sites_or_reports_are_refused_with_the_number_that_it_takes():
    with pytest.raises(Refused, match="median: the federation has 4 sites; with these arguments it needs at least 5"):
        close_a_round(median(liars=2), honest(4))
    with pytest.raises(Refused, match="median: round 0 has reports of 4 sites; .* needs at least 5"):
        close_a_round(median(liars=2), honest(6), lost=2)
    close_a_round(median(liars=2), honest(6), lost=1)
    scheme = median(liars=2)
    assert [scheme.quorum(asked) for asked in (3, 5, 8, 12)] == [3, 5, 5, 7]
    assert scheme.quorum.__doc__ == "More than half of the sites that were asked, and at least 5."


@pytest.mark.parametrize("liars", [-1, 1.0, True])
def test_a_number_of_byzantine_sites_out_of_range_is_refused(liars):
    with pytest.raises(Refused, match="median: liars is .*; wanted a whole number of at least 0"):
        median(liars=liars)

"""What is true of Krum and Multi-Krum alone."""

import pytest
import torch

from brainct.errors import Refused
from brainct.schemes.krum import krum, multikrum
from tests.support.byzantine import FACTORS, byzantine, close_a_round, flat, honest, same, within


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize(("sound", "liars"), [(4, 1), (6, 1), (5, 2), (6, 3)])
def test_as_many_byzantine_sites_as_stated_and_krum_is_bit_identical_to_an_honest_model(sound, liars, factor):
    told = honest(sound, spread=0.1)
    for models in (told + byzantine(factor, liars), byzantine(factor, liars) + told):
        assert any(same(close_a_round(krum(liars), models), weights) for weights in told)
        assert within(close_a_round(multikrum(liars), models), told)


def test_byzantine_sites_that_agree_on_a_model_are_too_few_to_be_their_own_neighbours():
    told = honest(5)
    common = byzantine(1e6, 1)[0]
    assert any(same(close_a_round(krum(2), [*told, common, common]), weights) for weights in told)
    assert same(close_a_round(krum(1), [*told[:2], common, common, common]), common)


def test_the_choice_is_the_least_sum_of_squares_to_the_nearest_others():
    models, liars = honest(7, seed=8), 2
    points = [flat(weights) for weights in models]
    scores = []
    for point in points:
        squares = sorted(float((point - other).square().sum()) for other in points if other is not point)
        scores.append(sum(squares[: len(models) - liars - 2]))
    ranked = sorted(range(len(models)), key=scores.__getitem__)
    assert same(close_a_round(krum(liars), models), models[ranked[0]])
    for chosen in (1, 3, 5):
        wanted = sum(points[index] for index in ranked[:chosen]) / chosen
        torch.testing.assert_close(flat(close_a_round(multikrum(liars, chosen), models)), wanted, rtol=1e-6, atol=1e-6)
    assert same(close_a_round(multikrum(liars), models), close_a_round(multikrum(liars, 5), models))


def test_sites_that_agree_are_believed_to_the_bit():
    one = honest(1)[0]
    assert same(close_a_round(krum(), [one] * 5), one)
    assert same(close_a_round(multikrum(), [one] * 5), one)


def test_too_few_sites_are_refused_with_the_number_that_it_takes():
    with pytest.raises(Refused, match="krum: the federation has 4 sites; with these arguments it needs at least 5"):
        close_a_round(krum(1), honest(4))
    with pytest.raises(Refused, match="multikrum: the federation has 6 sites; .* needs at least 7"):
        close_a_round(multikrum(1, chosen=6), honest(6))
    assert [krum(2).quorum(asked) for asked in (4, 7, 20)] == [4, 7, 11]


@pytest.mark.parametrize("arguments", [{"liars": -1}, {"liars": 1.5}, {"chosen": 0}, {"chosen": True}])
def test_an_argument_out_of_range_is_refused(arguments):
    with pytest.raises(Refused, match="multikrum: .* wanted a whole number of at least"):
        multikrum(**arguments)

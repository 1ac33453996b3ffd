"""What is true of centered clipping and norm clipping alone."""

import pytest
import torch

from brainct.errors import Refused
from brainct.schemes.clipping import centered_clipping, norm_clipping
from tests.support.byzantine import FACTORS, byzantine, close_a_round, flat, honest, model, same

BEFORE = model(*[5.0] * 5)


def moved(scheme, models):
    return float((flat(close_a_round(scheme, models, BEFORE)) - flat(BEFORE)).norm())


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("iterations", [1, 3])
def test_with_a_given_radius_nothing_moves_the_model_further_than_it_in_an_iteration(factor, iterations):
    for models in (byzantine(factor, 2), honest(2) + byzantine(factor, 3)):
        assert moved(centered_clipping(0.25, iterations), models) <= 0.25 * iterations * (1 + 1e-5)


@pytest.mark.parametrize("factor", FACTORS)
def test_in_an_iteration_f_byzantine_sites_move_the_result_by_at_most_their_share_of_the_radius(factor):
    told, tau, liars = honest(4), 0.5, 2
    silent = close_a_round(norm_clipping(tau), told + [BEFORE] * liars)
    lied = close_a_round(norm_clipping(tau), told + byzantine(factor, liars))
    assert float((flat(lied) - flat(silent)).norm()) <= liars * tau / 6 * (1 + 1e-5)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize(("sound", "liars"), [(2, 1), (4, 1), (3, 2)])
def test_without_a_radius_the_model_moves_no_further_than_an_honest_site_did(sound, liars, factor):
    told = honest(sound)
    furthest = max(float((flat(weights) - flat(BEFORE)).norm()) for weights in told)
    assert moved(norm_clipping(liars=liars), told + byzantine(factor, liars)) <= furthest * (1 + 1e-6)
    assert moved(centered_clipping(iterations=1, liars=liars), told + byzantine(factor, liars)) <= furthest * (1 + 1e-6)


def test_each_change_is_shortened_to_the_radius_and_keeps_its_direction():
    models, tau = honest(3), 0.7
    steps = [flat(weights) - flat(BEFORE) for weights in models]
    wanted = flat(BEFORE) + sum(step * min(1.0, tau / float(step.norm())) for step in steps) / 3
    torch.testing.assert_close(flat(close_a_round(norm_clipping(tau), models)), wanted, rtol=1e-6, atol=1e-6)


def test_the_next_iteration_starts_where_the_last_one_ended():
    models, tau = honest(4, spread=3.0), 0.5
    twice = close_a_round(centered_clipping(tau, 2), models)
    once = close_a_round(centered_clipping(tau, 1), models)
    again = close_a_round(centered_clipping(tau, 1), models, previous=once)
    torch.testing.assert_close(flat(twice), flat(again), rtol=1e-6, atol=1e-6)


def test_a_radius_that_no_site_reaches_is_the_mean_and_norm_clipping_is_one_iteration():
    models = honest(3)
    wanted = sum(flat(weights) for weights in models) / 3
    torch.testing.assert_close(flat(close_a_round(centered_clipping(1e9), models)), wanted, rtol=1e-6, atol=1e-6)
    assert same(close_a_round(norm_clipping(0.3), models), close_a_round(centered_clipping(0.3, 1), models))


def test_sites_that_agree_are_believed_to_the_bit_where_they_are_within_the_radius():
    one = honest(1)[0]
    assert same(close_a_round(centered_clipping(), [one] * 3), one)
    assert same(close_a_round(norm_clipping(100.0), [one]), one)


def test_the_median_radius_needs_a_majority_of_honest_sites_and_a_given_one_does_not():
    for make in (centered_clipping, norm_clipping):
        with pytest.raises(Refused, match=f"{make.__name__}: the federation has 4 sites; .* needs at least 5"):
            close_a_round(make(liars=2), honest(4))
        assert make(1.0, liars=2).quorum(2) == 2
        close_a_round(make(1.0, liars=2), honest(1))


@pytest.mark.parametrize("radius", [0, -1.0, float("inf"), float("nan"), True])
def test_a_radius_out_of_range_is_refused(radius):
    with pytest.raises(Refused, match="centered_clipping: tau is .*; wanted a finite number above 0"):
        centered_clipping(radius)
    with pytest.raises(Refused, match="norm_clipping: bound is .*; wanted a finite number above 0"):
        norm_clipping(radius)


def test_no_iterations_are_refused():
    with pytest.raises(Refused, match="centered_clipping: iterations is 0"):
        centered_clipping(iterations=0)

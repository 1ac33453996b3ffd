"""What is true of the Radon machine as a scheme; the geometry is tested with brainct.robust."""

import numpy as np
import pytest
import torch

from brainct.errors import Refused
from brainct.robust import radon_point
from brainct.schemes.radon import fitting_levels, machine, radon
from tests.schemes.liars import LIES, close_a_round, flat, honest, lying, same, within
from tests.test_robust import in_hull


def points(models):
    return np.stack([flat(weights).numpy() for weights in models])


def test_whole_models_give_their_radon_point():
    models = honest(7)  # five numbers each: r = 7
    found = close_a_round(radon(part="whole"), models)
    np.testing.assert_allclose(flat(found), radon_point(points(models)), rtol=1e-6)
    assert same(found, close_a_round(radon(part="sketch"), models)), "a model of r - 2 numbers is its own sketch"


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("place", [0, 3, 6])
def test_of_whole_models_one_liar_leaves_the_result_in_the_honest_hull(lie, place):
    told = honest(6)
    models = [*told[:place], *lying(lie, 1), *told[place:]]
    assert in_hull(flat(close_a_round(radon(part="whole"), models)).numpy(), points(told), slack=1e-6)


@pytest.mark.parametrize("lie", LIES)
def test_of_sketches_one_liar_leaves_the_sketch_in_the_honest_hull_and_the_model_near(lie):
    told = honest(4)
    for seed in range(5):
        found = close_a_round(radon(), told + lying(lie, 1), seed=seed)
        assert float((flat(found) - 5.0).norm()) < 100


def test_a_sketch_is_drawn_anew_in_each_round_from_the_servers_seed():
    models = honest(4)
    found = [
        close_a_round(radon(), models, number=number, seed=seed) for number, seed in ((0, 1), (0, 1), (1, 1), (0, 2))
    ]
    assert same(found[0], found[1])
    assert not same(found[0], found[2])
    assert not same(found[0], found[3])


@pytest.mark.parametrize("lie", LIES)
def test_coordinates_survive_three_liars_of_nine(lie):
    told = honest(6)
    for order in ([0, 1, 2], [0, 3, 6], [0, 4, 8]):
        models, false = list(told), lying(lie, 3)
        for place, weights in zip(order, false, strict=True):
            models.insert(place, weights)
        assert within(close_a_round(radon(levels=2, part="coordinate"), models), told)


def test_sites_that_agree_are_believed_to_the_bit():
    one = honest(1)[0]
    assert same(close_a_round(radon(), [one] * 3), one)
    assert same(close_a_round(radon(2), [one] * 16), one)
    assert same(close_a_round(radon(part="whole"), [one] * 7), one)
    assert same(close_a_round(radon(part="coordinate"), [one] * 3), one)


@pytest.mark.parametrize(
    ("arguments", "count", "words"),
    [
        ({}, 2, "2 models; with levels 1 and part sketch it takes 3, 4, 5, ..."),
        ({"levels": 2}, 10, "10 models; with levels 2 and part sketch it takes 9, 16, 25, ..."),
        ({"part": "whole"}, 6, "6 models; with levels 1 and part whole it takes 7"),
        ({"part": "whole", "levels": 2}, 7, "it takes 49"),
        ({"part": "coordinate"}, 9, "9 models; with levels 1 and part coordinate it takes 3"),
    ],
)
def test_a_wrong_number_of_sites_is_refused_with_the_numbers_that_would_work(arguments, count, words):
    with pytest.raises(Refused, match=f"radon: {words}|radon: .*{words}"):
        close_a_round(radon(**arguments), honest(count))


def test_all_must_answer_unless_sketches_can_be_shorter():
    close_a_round(radon(), honest(5), lost=2)
    with pytest.raises(Refused, match="radon: 6 models; with levels 1 and part whole it takes 7"):
        close_a_round(radon(part="whole"), honest(7), lost=1)
    assert [radon().quorum(asked) for asked in (3, 4, 9)] == [3, 3, 5]
    assert [radon(part="coordinate").quorum(asked) for asked in (3, 9)] == [3, 9]
    assert radon(levels=2).quorum(16) == 16


@pytest.mark.parametrize(("count", "levels"), [(7, 1), (49, 2), (343, 3), (8, 1), (1, 1)])
def test_levels_that_need_no_sketch_are_found(count, levels):
    assert fitting_levels(count, honest(1)[0]) == levels


def test_arguments_out_of_range_are_refused():
    with pytest.raises(Refused, match="radon: levels is 0; wanted a whole number of at least 1"):
        radon(levels=0)
    with pytest.raises(Refused, match="radon: part is 'head'; wanted one of sketch, whole, coordinate"):
        radon(part="head")


def test_the_guarantee_on_a_convex_problem_the_machine_fails_less_often_than_a_site():
    """Sites fail with probability 0.1 < 1/r = 1/3; the bound for the machine is (3 * 0.1)^(2^2) = 0.0081."""
    rng, runs, eps = np.random.default_rng(0), 500, 1.0
    failed = 0
    for _ in range(runs):
        bad = rng.random(9) < 0.1
        models = [{"w": torch.tensor([rng.uniform(-eps, eps) + 50 * is_bad])} for is_bad in bad]
        failed += abs(machine(models, 2, "whole", rng)["w"].item()) > eps
    # 0.0081 * 500 = 4 failures at most are expected; with a standard deviation of 2, five of them allowed
    assert failed <= 14

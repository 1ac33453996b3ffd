"""Barriers: the closed form of the smallest example, convexity of a linear network's cuts, and what is choosable."""

import doctest
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from brainct.barriers import measure
from brainct.barriers.measure import lowest_layers, measure_pair, measure_pairs
from brainct.barriers.pair import Choices, Cut, Pair, measure_path
from brainct.barriers.perturbations import directions, span
from brainct.barriers.trees import mean_of_trees
from brainct.core.learner import Layer
from brainct.errors import Refused
from tests.support import diagonal

COARSE = Choices(points=5, refine=0, orders=1, samples=1)
scales = st.floats(0.2, 5).filter(lambda s: abs(s - 1) > 0.01)


@given(scales)
def test_the_diagonal_network_has_the_barriers_of_its_closed_form(s):
    found = measure_pair(diagonal.fitted(s), diagonal.fitted(1 / s), diagonal.LAYERS, diagonal.loss, Choices(samples=1))
    assert found["full"]["barrier"] == pytest.approx(diagonal.full_barrier(s), rel=1e-9)
    u, v = found["layers"]
    assert u["base_a"] == v["base_b"] == pytest.approx(diagonal.layer_barrier(s), rel=1e-9)
    assert u["base_b"] == v["base_a"] == pytest.approx(diagonal.layer_barrier(1 / s), rel=1e-9)
    assert max(row[key] for row in (u, v) for key in ("bump_a", "bump_b")) < 1e-12
    for name in ("top", "bottom", "random"):
        assert found["cumulative"][name][-1] == pytest.approx(found["full"]["barrier"], rel=1e-9)


def test_the_executable_example_runs():
    assert doctest.testmod(diagonal).attempted >= 4
    assert doctest.testmod(diagonal).failed == 0


def linear_network(seed: int, depth: int, width: int) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {f"layer{at}": torch.randn(width, width, dtype=torch.float64, generator=random) for at in range(depth)}


@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(1, 4), st.booleans())
def test_a_deep_linear_network_is_convex_along_each_single_layer_cut(seed, depth, width, second):
    a, b = linear_network(seed, depth, width), linear_network(seed + 1, depth, width)
    x, y = (
        torch.randn(width, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + at)) for at in (2, 3)
    )

    def loss(weights):
        out = x
        for matrix in weights.values():
            out = matrix @ out
        return float((out - y).square().mean())

    pair = Pair(a, b, loss, Choices(points=9, refine=2), loss(a), loss(b))
    for key in a:
        cut = pair.cut(b if second else a, [key])
        height = max(cut.losses.values())
        assert cut.bump() <= 1e-12 * height
        steps = [cut.losses[alpha] for alpha in pair.choices.alphas]
        slopes = [after - before for before, after in pairwise(steps)]
        assert all(later - earlier >= -1e-11 * height for earlier, later in pairwise(slopes))


def test_two_layers_at_once_are_not_convex_in_the_diagonal_network():
    a, b = diagonal.fitted(2.0), diagonal.fitted(0.5)
    pair = Pair(a, b, diagonal.loss, Choices(), 0.0, 0.0)
    assert pair.cut(a, ["u", "v"]).bump() > 0.3


def test_the_highest_point_is_found_between_the_even_points():
    path = measure_path(lambda alpha: -((alpha - 0.3123) ** 2), Choices(points=3, refine=12), 0.0, 0.0)
    assert path.barrier(0.0, 0.0) == pytest.approx(0.0, abs=1e-6)
    assert min(path.losses) == 0
    assert max(path.losses) == 1


def test_the_line_that_is_taken_off_goes_from_the_first_models_loss_to_the_seconds():
    assert Cut({0.0: 1.0, 0.25: 3.0, 1.0: 5.0}).excess(1.0, 5.0) == {0.0: 0.0, 0.25: 1.0, 1.0: 0.0}


def models(count: int, size: int = 40):
    layers = [Layer("one", "Linear", ("one.weight", "one.steps")), Layer("two", "Linear", ("two.weight",))]
    made = {}
    for at in range(count):
        random = torch.Generator().manual_seed(at)
        made[f"site-{at}"] = {
            "one.weight": torch.randn(size, generator=random),
            "one.steps": torch.tensor(at),
            "two.weight": torch.randn(size, generator=random),
        }
    return made, layers


def seen_by(loss, kept):
    def seeing(weights):
        kept.append({key: value.clone() for key, value in weights.items()})
        return loss(weights)

    return seeing


def norm_of_first(weights):
    return float(weights["one.weight"].double().square().sum())


def test_a_layers_cut_moves_that_layer_alone_and_never_a_counter():
    made, layers = models(2)
    a, b = made.values()
    seen = []
    pair = Pair(a, b, seen_by(norm_of_first, seen), COARSE, 0.0, 0.0)
    pair.cut(a, layers[0].keys)
    assert len(seen) == COARSE.points - 1
    assert torch.equal(seen[-1]["one.weight"], b["one.weight"])
    assert torch.allclose(seen[1]["one.weight"], 0.5 * (a["one.weight"] + b["one.weight"]))
    assert all(torch.equal(one["two.weight"], a["two.weight"]) and one["one.steps"] == 0 for one in seen)


def test_cumulative_from_the_top_begins_with_the_last_layer_and_ends_with_all():
    made, layers = models(2)
    found = measure_pair(*made.values(), layers, norm_of_first, COARSE)
    top, bottom = found["cumulative"]["top"], found["cumulative"]["bottom"]
    first = (found["layers"][0]["base_a"] + found["layers"][0]["base_b"]) / 2
    last = (found["layers"][1]["base_a"] + found["layers"][1]["base_b"]) / 2
    assert bottom[0] == pytest.approx(first)
    assert top[0] == pytest.approx(last)
    assert top[1] == bottom[1] == pytest.approx(found["full"]["barrier"])


def test_perturbations_are_as_long_as_the_way_to_the_other_model_and_lie_where_they_say():
    random = torch.Generator().manual_seed(0)
    vectors = [torch.randn(30, dtype=torch.float64, generator=random) for _ in range(3)]
    basis = span([*vectors, vectors[0] - vectors[1]])
    noise = torch.randn(30, dtype=torch.float64, generator=random)
    found = directions(vectors[0], noise, basis)
    assert basis.shape == (3, 30)
    assert torch.allclose(basis @ basis.T, torch.eye(3, dtype=torch.float64))
    assert all(float(one.norm()) == pytest.approx(float(vectors[0].norm())) for one in found.values())
    assert float((basis @ found["null"]).norm()) < 1e-10
    assert torch.allclose(basis.T @ (basis @ found["training"]), found["training"])


def test_a_null_space_perturbation_does_not_change_what_depends_on_the_training_subspace_alone():
    made, layers = models(2)
    a, b = made.values()
    step = (b["one.weight"] - a["one.weight"]).double()

    def loss(weights):
        return float((weights["one.weight"].double() - a["one.weight"].double()) @ step)

    rises = measure_pair(a, b, layers, loss, COARSE)["perturbations"]
    one, two = rises["layers"]
    length = float(step.square().sum())
    assert one["interpolation"] == pytest.approx([0.25 * length, 0.5 * length, length], rel=1e-6)
    assert one["null"] == pytest.approx([0.0] * 3, abs=1e-4)
    assert [abs(rise) for rise in one["training"]] == pytest.approx(one["interpolation"], rel=1e-6)
    assert two["random"] == [0.0] * 3
    assert rises["rank"] == 1


def test_a_layer_of_one_number_has_no_direction_outside_the_training_subspace():
    found = measure_pair(diagonal.fitted(2.0), diagonal.fitted(0.5), diagonal.LAYERS, diagonal.loss, COARSE)
    assert [row["null"] for row in found["perturbations"]["layers"]] == [None, None]


def test_numbers_of_several_pairs_are_their_means_and_each_pair_is_told():
    made, layers = models(3)
    found = measure_pairs(made, layers, norm_of_first, COARSE, [])
    assert found["pairs"] == [["site-0", "site-1"], ["site-0", "site-2"], ["site-1", "site-2"]]
    alone = [measure_pair(made[one], made[other], layers, norm_of_first, COARSE) for one, other in found["pairs"]]
    assert found["full"]["barrier"] == pytest.approx(sum(row["full"]["barrier"] for row in alone) / 3)
    assert [row["full"] for row in found["each"]] == [row["full"]["barrier"] for row in alone]
    assert found["layers"][1]["path"] == "two"


def test_means_of_trees_keep_words_and_say_none_where_one_is_missing():
    trees = [{"a": [1.0, None], "b": "x"}, {"a": [2.0, 3.0], "b": "x"}]
    assert mean_of_trees(trees) == {"a": [1.5, None], "b": "x"}


HEIGHTS = [
    {"path": "conv", "base_a": 0.1, "base_b": 0.4},
    {"path": "norm", "base_a": 0.3, "base_b": 0.0},
    {"path": "head", "base_a": 0.2, "base_b": 0.2},
]


@pytest.mark.parametrize(
    ("choice", "layers"),
    [
        ({"count": 0}, []),
        ({"count": 1}, ["head"]),
        ({"count": 2}, ["norm", "head"]),
        ({"count": 3}, ["conv", "norm", "head"]),
        ({"below": 0.2}, ["head"]),
        ({"below": 0.0}, []),
        ({"below": 0.35}, ["norm", "head"]),
    ],
)
def test_the_layers_with_the_lowest_barriers_are_chosen_in_the_networks_order(choice, layers):
    assert lowest_layers(HEIGHTS, **choice) == layers


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (lambda: lowest_layers(HEIGHTS), "wanted one of the two"),
        (lambda: lowest_layers(HEIGHTS, 1, 0.1), "wanted one of the two"),
        (lambda: lowest_layers(HEIGHTS, 4), "--choose is 4; wanted a number from 0 to the 3 layers"),
        (lambda: Choices(points=2), "--points is 2; wanted at least 3"),
        (lambda: measure_pairs({"a": {}}, [], norm_of_first, COARSE, []), "barriers of a; wanted at least two models"),
        (
            lambda: measure_pair(diagonal.fitted(2.0), {"u": torch.ones(1)}, diagonal.LAYERS, diagonal.loss, COARSE),
            "the second model: missing tensors: v",
        ),
    ],
)
def test_what_can_not_be_measured_or_chosen_is_refused(run, words):
    with pytest.raises(Refused, match=words):
        run()


def test_the_mathematics_names_no_file_and_no_network():
    assert not {"pathlib", "os", "json"} & set(vars(measure))

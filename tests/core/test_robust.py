"""Laws of robust aggregation: what holds for every rule, and the geometry of Radon points."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import minimize

from brainct.core import robust as r
from brainct.errors import Refused
from tests.support.byzantine import flat, honest, model, same
from tests.support.hulls import in_hull

RULES = {
    "median": r.coordinate_median,
    "trimmed mean": lambda models: r.trimmed_mean(models, 1),
    "krum": lambda models: r.multi_krum(models, 1, 1),
    "multi-krum": lambda models: r.multi_krum(models, 1, len(models) - 1),
    "geometric median": r.geometric_median,
    "centered clipping": lambda models: r.centered_clipping(models, models_mean(models), 0.5, 3),
}
every_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
seeds = st.integers(0, 10**6)


def models_mean(models):
    return r.trimmed_mean(models, 0)


def shifted(weights, by):
    """Integers and quarters: exact in float32, so that a shift is."""
    return {key: value + by if value.is_floating_point() else value for key, value in weights.items()}


@every_rule
@given(seed=seeds, count=st.integers(5, 8), data=st.data())
def test_the_order_of_the_models_does_not_matter(rule, seed, count, data):
    models = honest(count, seed)
    order = data.draw(st.permutations(range(count)))
    found, again = rule(models), rule([models[index] for index in order])
    torch.testing.assert_close(flat(found), flat(again), rtol=1e-5, atol=1e-5)


@every_rule
@given(seed=seeds, count=st.integers(5, 8), by=st.sampled_from([-64.0, -3.0, 0.5, 100.0]))
def test_a_shift_of_all_models_shifts_the_result(rule, seed, count, by):
    models = honest(count, seed)
    found, wanted = flat(rule([shifted(weights, by) for weights in models])), flat(rule(models)) + by
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=2e-4)


@every_rule
@given(seed=seeds, count=st.integers(5, 8))
def test_models_that_are_one_are_returned_to_the_bit_and_nothing_is_changed(rule, seed, count):
    models = [honest(1, seed)[0]] * count
    before = {key: value.clone() for key, value in models[0].items()}
    assert same(rule(models), before)
    assert same(models[0], before)


@every_rule
def test_of_a_counter_the_largest_is_kept_among_the_models_that_have_a_share(rule):
    models = [{**weights, "steps": torch.tensor(7)} for weights in honest(6)]
    assert rule(models)["steps"] == 7
    assert rule(models)["steps"].dtype == torch.int64


@every_rule
def test_a_model_keeps_its_keys_shapes_and_dtypes(rule):
    models = [
        {key: value.half() if key == "bias" else value for key, value in weights.items()} for weights in honest(5)
    ]
    found = rule(models)
    assert list(found) == list(models[0])
    assert all(found[key].dtype == value.dtype and found[key].shape == value.shape for key, value in models[0].items())


def test_the_geometric_median_is_what_a_general_minimiser_finds():
    points = torch.stack([flat(weights) for weights in honest(7, seed=3)]).numpy()
    wanted = minimize(lambda z: np.linalg.norm(points - z, axis=1).sum(), points.mean(0), method="BFGS").x
    found = flat(r.geometric_median(honest(7, seed=3))).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_distances_over_tensors_are_those_of_the_flat_vectors():
    models = honest(4)
    points = torch.stack([flat(weights) for weights in models])
    torch.testing.assert_close(r.squared_distances(models), torch.cdist(points, points).square(), rtol=1e-9, atol=1e-9)


def test_numbers_that_leave_nothing_are_refused():
    with pytest.raises(Refused, match="takes 2 values from each side of 4"):
        r.trimmed_mean(honest(4), 2)
    with pytest.raises(Refused, match="Krum of 4 models chooses 1 with 1 Byzantine"):
        r.multi_krum(honest(4), 1, 1)
    with pytest.raises(Refused, match="Krum of 5 models chooses 5 with 1 Byzantine"):
        r.multi_krum(honest(5), 1, 5)
    with pytest.raises(Refused, match="no models"):
        r.centered_clipping([], model(*[0.0] * 5), 1.0, 1)
    with pytest.raises(Refused, match="needs 3, 9, 27, ... models, not 6"):
        r.median_of_threes(honest(6))


def test_the_linear_program_tells_inside_from_outside():
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert in_hull(np.array([0.3, 0.3]), corners)
    assert not in_hull(np.array([0.6, 0.41]), corners)


def cloud(count, dims, seed):
    return np.random.default_rng(seed).normal(size=(count, dims))


@given(seed=seeds, dims=st.integers(1, 5))
def test_a_radon_point_lies_in_the_hulls_of_both_sides_of_some_partition(seed, dims):
    points = cloud(dims + 2, dims, seed)
    found = r.radon_point(points)
    sides = [set(side) for size in range(1, dims + 2) for side in itertools.combinations(range(dims + 2), size)]
    rest = set(range(dims + 2))
    assert any(in_hull(found, points[list(side)]) and in_hull(found, points[list(rest - side)]) for side in sides)


@given(seed=seeds)
def test_in_one_dimension_it_is_the_median_of_three(seed):
    points = cloud(3, 1, seed) * 10
    assert r.radon_point(points).item() == pytest.approx(np.median(points), abs=1e-9)


@given(seed=seeds, dims=st.integers(1, 4), data=st.data())
def test_a_radon_point_follows_every_invertible_affine_map_and_no_order(seed, dims, data):
    points, matrix = cloud(dims + 2, dims, seed), cloud(dims, dims, seed + 1)
    assume(np.linalg.cond(matrix) < 100)
    shift = cloud(1, dims, seed + 2) * 100
    wanted = r.radon_point(points) @ matrix + shift[0]
    np.testing.assert_allclose(r.radon_point(points @ matrix + shift), wanted, rtol=1e-6, atol=1e-6)
    order = data.draw(st.permutations(range(dims + 2)))
    np.testing.assert_allclose(r.radon_point(points[order]), r.radon_point(points), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("factor", [1e6, -1e30, 0.0])
@pytest.mark.parametrize(("levels", "dims"), [(1, 1), (1, 2), (1, 4), (2, 1), (2, 2), (2, 4), (3, 1), (3, 2)])
def test_the_iterated_point_survives_all_but_one_of_two_to_the_levels_byzantine_sites(levels, dims, factor):
    size = (dims + 2) ** levels
    rng, liars = np.random.default_rng(size), 2**levels - 1
    for trial in range(20):
        points = cloud(size, dims, trial)
        false = rng.choice(size, liars, replace=False)
        points[false] = factor * (1 + rng.random((liars, dims)))
        sound = np.delete(points, false, axis=0)
        assert in_hull(r.radon_machine(points) @ points, sound, slack=1e-6 / max(1.0, np.abs(sound).max()))


def test_two_to_the_levels_byzantine_sites_can_be_too_many_so_the_bound_is_sharp():
    points = np.array([[0.0], [9e9], [9e9], [0.0], [9e9], [9e9], [0.0], [0.0], [0.0]])
    assert (r.radon_machine(points) @ points).item() == pytest.approx(9e9)


def test_the_machines_weights_are_convex_and_points_that_are_one_give_it_back():
    weights = r.radon_machine(cloud(9, 1, 0))
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(r.radon_machine(np.full((16, 2), 3.5)) @ np.full((16, 2), 3.5), [3.5, 3.5], rtol=1e-12)


@pytest.mark.parametrize(("count", "dims", "works"), [(5, 2, "4, 16, 64"), (1, 1, "3, 9, 27"), (6, 1, "3, 9, 27")])
def test_a_number_of_models_that_no_radon_machine_takes_is_refused_with_those_that_it_does(count, dims, works):
    with pytest.raises(Refused, match=f"in {dims} dimensions needs {works}, ... models, not {count}"):
        r.radon_machine(cloud(count, dims, 0))
    with pytest.raises(Refused, match="in 3 dimensions needs 5 points, not 4"):
        r.radon_point(cloud(4, 3, 0))


@given(seed=seeds, count=st.integers(2, 6))
def test_the_sketch_of_a_convex_combination_is_that_of_the_sketches(seed, count):
    models = honest(count, seed)
    shares = np.random.default_rng(seed).dirichlet(np.ones(count))
    one = r.combine_models(models, shares)
    sketches = r.sketch([*models, one], 2, np.random.default_rng(seed))
    np.testing.assert_allclose(shares @ sketches[:-1], sketches[-1], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("key", ["matrix", "bias"])
def test_a_sketch_sees_every_tensor(key):
    one = honest(1)[0]
    first, second = r.sketch([one, {**one, key: one[key] + 1}], 2, np.random.default_rng(0))
    assert (first != second).all()


def test_a_model_of_few_numbers_is_its_own_sketch():
    models = honest(7)
    sketches = r.sketch(models, 6, np.random.default_rng(0))
    wanted = torch.stack([torch.cat([weights["bias"], weights["matrix"].reshape(-1)]) for weights in models])
    np.testing.assert_array_equal(sketches[:, :5], wanted.numpy())
    assert not sketches[:, 5].any()


@pytest.mark.parametrize("count", [3, 9])
def test_the_median_of_threes_is_the_radon_machine_of_each_coordinate(count):
    models = honest(count)
    points = torch.stack([flat(weights) for weights in models]).numpy()
    wanted = [float(r.radon_machine(column[:, None]) @ column) for column in points.T]
    np.testing.assert_allclose(flat(r.median_of_threes(models)), wanted, rtol=1e-9)

"""Laws of the arithmetic on state dicts."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from brainct.core import weights as w
from brainct.errors import Refused

numbers = st.floats(-1e6, 1e6, width=32)
shares = st.floats(0.01, 1000)


@st.composite
def models(draw, least=1, most=5):
    """Models of one network: a matrix, a bias and a counter."""
    count = draw(st.integers(least, most))
    return [
        {
            "matrix": torch.tensor(draw(st.lists(numbers, min_size=6, max_size=6)), dtype=torch.float32).view(2, 3),
            "bias": torch.tensor(draw(st.lists(numbers, min_size=2, max_size=2)), dtype=torch.float32),
            "steps": torch.tensor(draw(st.integers(0, 1000))),
        }
        for _ in range(count)
    ]


def equal(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


@given(models(), st.data())
def test_a_mean_lies_between_the_least_and_the_largest_of_its_models(found, data):
    weighted = [(data.draw(shares), model) for model in found]
    mean = w.mean(weighted)
    for key in ("matrix", "bias"):
        stack = torch.stack([model[key] for model in found]).double()
        slack = stack.abs().amax(0) * 1e-6 + 1e-30
        assert (mean[key] >= stack.amin(0) - slack).all()
        assert (mean[key] <= stack.amax(0) + slack).all()


@given(models(most=1), st.integers(1, 7))
def test_a_mean_of_equal_models_is_that_model_to_the_bit(found, count):
    assert equal(w.mean([(1.0, found[0])] * count), found[0])


@given(models(least=2), st.data())
def test_a_mean_is_the_weighted_sum_over_the_sum_of_the_shares(found, data):
    counts = [data.draw(st.integers(1, 100)) for _ in found]
    wanted = sum(n * model["matrix"].double() for n, model in zip(counts, found, strict=True)) / sum(counts)
    mean = w.mean(list(zip(map(float, counts), found, strict=True)))["matrix"]
    torch.testing.assert_close(mean.double(), wanted, rtol=1e-6, atol=1e-6 * max(1.0, float(wanted.abs().max())))


@given(models(least=2))
def test_a_counter_is_not_averaged_but_its_largest_value_kept(found):
    assert w.mean([(1.0, model) for model in found])["steps"] == max(int(model["steps"]) for model in found)


@given(models(least=2, most=2))
def test_adding_and_taking_away_gives_back_what_was(found):
    there = w.add(found[0], w.scale(found[1], -1.0))["matrix"]
    wanted = found[0]["matrix"] - found[1]["matrix"]
    torch.testing.assert_close(there, wanted)


def test_adding_leaves_alone_what_the_right_side_does_not_have():
    left = {"a": torch.ones(2), "b": torch.ones(1)}
    assert equal(w.add(left, {"a": torch.ones(2)}), {"a": torch.full((2,), 2.0), "b": torch.ones(1)})


def test_a_sum_keeps_the_dtypes_of_its_left_side():
    left, right = {"a": torch.ones(2), "n": torch.tensor(2)}, {"a": torch.ones(2).double(), "n": torch.tensor(3)}
    assert equal(w.add(left, right), {"a": torch.full((2,), 2.0), "n": torch.tensor(5)})


@given(models(least=2, most=2))
def test_a_difference_added_to_its_right_side_gives_the_left_and_knows_no_counters(found):
    left, right = found
    change = w.difference(left, right)
    assert change.keys() == {"matrix", "bias"}
    assert all(value.dtype == torch.float64 for value in change.values())
    back = w.add(right, change)
    assert back["steps"] == right["steps"]
    for key in change:
        torch.testing.assert_close(back[key], left[key], rtol=1e-6, atol=1e-9)


@given(models(least=2, most=2))
def test_a_squared_distance_is_the_sum_of_squared_differences(found):
    left, right = ({key: value.double() for key, value in model.items() if key != "steps"} for model in found)
    wanted = sum((value**2).sum() for value in w.difference(left, right).values())
    torch.testing.assert_close(w.squared_distance(left, right), wanted)
    torch.testing.assert_close(w.squared_distance({**left, "steps": torch.tensor(9)}, right), wanted)
    assert w.squared_distance(left, left) == 0


def test_a_squared_distance_has_a_gradient_and_lies_where_its_left_side_lies():
    here = {"a": torch.tensor([3.0, 1.0], requires_grad=True)}
    w.squared_distance(here, {"a": torch.tensor([1.0, 1.5])}).backward()
    assert here["a"].grad.tolist() == [2 * (3.0 - 1.0), 2 * (1.0 - 1.5)]
    elsewhere = {"a": torch.ones(2, device="meta")}
    assert w.squared_distance(elsewhere, {"a": torch.ones(2)}).device.type == "meta"


@given(models(most=1), numbers)
def test_a_filled_model_has_the_shapes_and_dtypes_and_no_counters(found, value):
    filled = w.filled(found[0], value)
    assert equal(filled, {key: torch.full(found[0][key].shape, value) for key in ("matrix", "bias")})


@given(models(least=2))
def test_inputs_are_never_changed(found):
    before = [{key: value.clone() for key, value in model.items()} for model in found]
    w.mean([(2.0, model) for model in found])
    w.add(found[0], found[1])
    w.scale(found[0], 3.0)
    w.difference(found[0], found[1])
    w.squared_distance(found[0], found[1])
    w.filled(found[0], 3.0)
    assert all(equal(model, was) for model, was in zip(found, before, strict=True))


@pytest.mark.parametrize("share", [0.0, -1.0, math.nan, math.inf])
def test_a_share_that_is_no_positive_number_is_refused(share):
    with pytest.raises(Refused, match="share in a mean"):
        w.mean([(1.0, {"a": torch.ones(1)}), (share, {"a": torch.ones(1)})])


def test_a_mean_of_nothing_is_refused():
    with pytest.raises(Refused, match="no models"):
        w.mean([])


@given(models(most=1))
def test_the_hash_ignores_the_order_of_keys_and_sees_every_bit(found):
    model = found[0]
    assert w.sha256(model) == w.sha256(dict(reversed(model.items())))
    changed = {**model, "bias": torch.nextafter(model["bias"], torch.tensor(math.inf))}
    assert w.sha256(changed) != w.sha256(model)


LIKE = {"a": torch.zeros(2, 3), "n": torch.tensor(1)}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"a": torch.zeros(2, 3)}, "missing tensors: n"),
        ({**LIKE, "b": torch.zeros(1)}, "not asked for: b"),
        ({**LIKE, "a": torch.zeros(1)}, r"tensor a has shape \(1,\); wanted \(2, 3\)"),
        ({**LIKE, "a": torch.zeros(2, 3).double()}, "dtype torch.float64; wanted torch.float32"),
        ({**LIKE, "a": torch.full((2, 3), math.nan)}, "holds 6 NaN or infinite of 6 values"),
        ({**LIKE, "a": torch.tensor([[1.0, 2, math.inf], [0, 0, 0]])}, "holds 1 NaN or infinite"),
    ],
)
def test_weights_of_another_network_are_refused_with_site_key_and_reason(found, words):
    with pytest.raises(Refused, match=f"hospital-b: .*{words}"):
        w.check_weights(found, LIKE, "hospital-b")


def test_the_bytes_of_a_model_are_those_of_its_tensors():
    assert w.nbytes(LIKE) == 6 * 4 + 8


@pytest.mark.parametrize(("count", "more"), [(3, ""), (4, " and 1 more")])
def test_a_refusal_names_three_tensors_and_counts_the_rest(count, more):
    like = {f"layer{number}": torch.ones(1) for number in range(count)}
    with pytest.raises(Refused, match=f"layer0, layer1, layer2{more};"):
        w.check_weights({}, like, "hospital-a")

"""Plain data comes back from bytes and disk as it was, and nothing else gets in."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from brainct import plain
from brainct.errors import Refused

leaves = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
tensors = st.lists(st.floats(-100, 100, width=32), max_size=4).map(torch.tensor)
keys = st.text(max_size=8).filter(lambda key: not key.startswith("$"))
values = st.recursive(
    leaves | st.text(max_size=8) | tensors,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)


def same(left, right):
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right and type(left) is type(right)


@given(values)
def test_what_is_packed_comes_back_as_it_was(value):
    back = plain.unpack(plain.pack(value))
    assert same(value, back)
    assert plain.sha256(value) == plain.sha256(back)
    assert plain.size(value) == plain.size(back)


def test_a_tensor_that_occurs_twice_is_stored_once_and_comes_back_twice():
    model = {"w": torch.randn(1000)}
    many = {"models": {f"site-{number}": model for number in range(20)}}
    assert len(plain.pack(many)) < 2 * 4000 + 2000
    assert same(many, plain.unpack(plain.pack(many)))


def test_a_view_into_a_larger_tensor_is_packed_alone():
    large = torch.arange(1000.0)
    back = plain.unpack(plain.pack({"a": large[10:12], "b": large[500:501]}))
    assert back["a"].tolist() == [10.0, 11.0]
    assert back["b"].tolist() == [500.0]


@pytest.mark.parametrize("value", [math.nan, math.inf, {1: 2}, {"$tensor": "a"}, {"a": object()}, b"bytes"])
def test_anything_that_is_not_plain_is_refused(value):
    with pytest.raises(Refused, match="plain data at"):
        plain.pack(value)


@pytest.mark.parametrize("cut", [0, 7, 40, -1])
def test_cut_bytes_are_refused_by_name(cut):
    whole = plain.pack({"w": torch.ones(4), "n": 1})
    with pytest.raises(Refused, match="memory.safetensors can't be read"):
        plain.unpack(whole[:cut], "memory.safetensors")


def test_a_pickle_is_refused_and_never_run(tmp_path):
    import pickle

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    with pytest.raises(Refused, match="can't be read"):
        plain.unpack(pickle.dumps({"w": Trap()}))
    assert not (tmp_path / "sprung").exists()


def test_saving_replaces_the_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "state" / "memory.safetensors"
    plain.save(path, {"round": 1})
    plain.save(path, {"round": 2, "w": torch.ones(2)})
    assert plain.load(path)["round"] == 2
    assert [file.name for file in path.parent.iterdir()] == ["memory.safetensors"]


def test_the_hash_sees_shape_dtype_and_value():
    hashes = [
        plain.sha256({"w": tensor})
        for tensor in (torch.zeros(4), torch.zeros(2, 2), torch.zeros(4).int(), torch.tensor([0.0, 0, 0, -0.0]))
    ]
    assert len(set(hashes)) == 4


def test_weights_on_disk_are_the_weights(tmp_path):
    weights = {"a": torch.randn(3, 2), "n": torch.tensor(5)}
    held = plain.OnDisk(tmp_path / "r" / "0.safetensors", weights)
    assert list(held) == list(weights)
    assert all(torch.equal(held[key], weights[key]) for key in weights)
    with pytest.raises(KeyError):
        held["other"]

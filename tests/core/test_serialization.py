"""Plain data comes back from bytes and disk as it was, and nothing else gets in."""

import math
import os
import resource

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from brainct.core import serialization
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
    back = serialization.unpack(serialization.pack(value))
    assert same(value, back)
    assert serialization.sha256(value) == serialization.sha256(back)
    assert serialization.size(value) == serialization.size(back)


def test_a_tensor_that_occurs_twice_is_stored_once_and_comes_back_twice():
    model = {"w": torch.randn(1000)}
    many = {"models": {f"site-{number}": model for number in range(20)}}
    assert len(serialization.pack(many)) < 2 * 4000 + 2000
    assert same(many, serialization.unpack(serialization.pack(many)))


def test_a_view_into_a_larger_tensor_is_packed_alone():
    large = torch.arange(1000.0)
    back = serialization.unpack(serialization.pack({"a": large[10:12], "b": large[500:501]}))
    assert back["a"].tolist() == [10.0, 11.0]
    assert back["b"].tolist() == [500.0]


@pytest.mark.parametrize("value", [math.nan, math.inf, {1: 2}, {"$tensor": "a"}, {"a": object()}, b"bytes"])
def test_anything_that_is_not_plain_is_refused(value):
    with pytest.raises(Refused, match="plain data at"):
        serialization.pack(value)


@pytest.mark.parametrize("cut", [0, 7, 40, -1])
def test_cut_bytes_are_refused_by_name(cut):
    whole = serialization.pack({"w": torch.ones(4), "n": 1})
    with pytest.raises(Refused, match="memory.safetensors can't be read"):
        serialization.unpack(whole[:cut], "memory.safetensors")


def test_a_pickle_is_refused_and_never_run(tmp_path):
    import pickle

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    with pytest.raises(Refused, match="can't be read"):
        serialization.unpack(pickle.dumps({"w": Trap()}))
    assert not (tmp_path / "sprung").exists()


def test_saving_replaces_the_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "state" / "memory.safetensors"
    serialization.save(path, {"round": 1})
    serialization.save(path, {"round": 2, "w": torch.ones(2)})
    assert serialization.load(path)["round"] == 2
    assert [file.name for file in path.parent.iterdir()] == ["memory.safetensors"]


def test_the_hash_sees_shape_dtype_and_value():
    hashes = [
        serialization.sha256({"w": tensor})
        for tensor in (torch.zeros(4), torch.zeros(2, 2), torch.zeros(4).int(), torch.tensor([0.0, 0, 0, -0.0]))
    ]
    assert len(set(hashes)) == 4


def test_weights_on_disk_are_the_weights(tmp_path):
    weights = {"a": torch.randn(3, 2), "n": torch.tensor(5)}
    held = serialization.OnDisk(tmp_path / "r" / "0.safetensors", weights)
    assert list(held) == list(weights)
    assert all(torch.equal(held[key], weights[key]) for key in weights)
    assert (tmp_path / "r").stat().st_mode & 0o777 == 0o700
    with pytest.raises(KeyError):
        held["other"]


@pytest.fixture
def wide():
    """The umask of most systems: others may read."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def rights(path):
    return oct(path.stat().st_mode & 0o777)


@pytest.mark.usefixtures("wide")
def test_what_is_saved_is_its_owners_alone_also_where_others_could_read_it_before(tmp_path):
    path = tmp_path / "client_state" / "run" / "site-1.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"of an earlier version")
    path.with_name("site-1.safetensors.partial").write_bytes(b"of a crash")
    assert (rights(path.parent), rights(path)) == ("0o755", "0o644")
    serialization.save(path, {"round": 1})
    assert (rights(path.parent), rights(path)) == ("0o700", "0o600")
    assert serialization.load(path) == {"round": 1}
    serialization.write(tmp_path / "results" / "record.json", b"{}")
    assert (rights(tmp_path / "results"), rights(tmp_path / "results" / "record.json")) == ("0o755", "0o644")


@pytest.mark.usefixtures("wide")
def test_a_link_that_waits_under_the_name_of_a_partial_file_is_not_written_through(tmp_path):
    (tmp_path / "elsewhere").write_text("as it was")
    (tmp_path / "keep.partial").symlink_to(tmp_path / "elsewhere")
    serialization.write(tmp_path / "client_state", b"secret", private=True)
    assert (tmp_path / "elsewhere").read_text() == "as it was"
    assert (tmp_path / "client_state").read_bytes() == b"secret"


@pytest.mark.slow
@pytest.mark.usefixtures("wide", "small_site")
def test_all_that_a_site_keeps_and_a_run_goes_on_from_is_its_owners_alone(tmp_path, monkeypatch):
    """Secure aggregation under a policy with noise: keep, secrets, the ledger; results stay readable."""
    import json

    from brainct.run.rehearse import rehearse
    from brainct.security.policy_file import ENVIRONMENT, FILTER
    from tests.conftest import tiny_plan

    policy = {"path": FILTER, "args": {"clip": 1.0, "noise": 1.0}}
    scopes = [{"name": "public", "task_result_filters": [policy]}]
    (tmp_path / "privacy.json").write_text(json.dumps({"scopes": scopes, "default_scope": "public"}))
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "privacy.json"))
    rehearse(tiny_plan("ditto", rounds=1), ["site-1", "site-2"], tmp_path / "run", log=lambda line: None)
    kept = [path for folder in ("run/state", "privacy/site-1") for path in (tmp_path / folder).rglob("*")]
    files = [path for path in kept if path.is_file() and path.name != "lock"]
    assert {path.name for path in files} >= {"memory.safetensors", "site-1.safetensors", "secret", "ledger.json"}
    assert {rights(path) for path in files} == {"0o600"}
    assert {rights(path.parent) for path in files} == {"0o700"}
    results = [tmp_path / "run" / name for name in ("record.json", "model.safetensors")]
    assert {rights(path) for path in results} == {"0o644"}


def test_nesting_without_end_and_numbers_of_thousands_of_digits_are_refused():
    deep = []
    for _ in range(5000):
        deep = [deep]
    for value in (deep, {"a": deep}, 10**5000, [-(10**5000)]):
        for act in (serialization.split, serialization.size, serialization.sha256, serialization.pack):
            with pytest.raises(Refused, match="plain data"):
                act(value)


def test_a_disk_without_room_is_one_sentence_and_leaves_the_old_content(tmp_path):
    """A limit on the size of files stands in for a full disk: the system says both when it writes."""
    file = tmp_path / "memory.safetensors"
    serialization.write(file, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(Refused, match=r"memory.safetensors can't be written: the disk of .* is full; make room"):
            serialization.write(file, b"new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert file.read_bytes() == b"old"

"""The arithmetic of a site's privacy policy: what leaves is what was set, and epsilon is what theory says."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from brainct.core.noise import gaussian
from brainct.core.privacy_event import Event
from brainct.core.weights import difference
from brainct.errors import Refused
from brainct.schemes import SCHEMES, about, build
from brainct.security import policy as policies
from brainct.security.accounting import epsilon
from brainct.security.policy import clipped, large, objection, policy_of, release, rounds_left
from tests.conftest import tiny_plan

GIVEN = {"body.w": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "head.w": torch.tensor([5.0]), "count": torch.tensor(7)}


def moved(*steps: float):
    """The given weights after these steps: four values of the body, one of the head; a counter that went on."""
    body = GIVEN["body.w"] + torch.tensor(steps[:4]).reshape(2, 2)
    return {"body.w": body, "head.w": GIVEN["head.w"] + steps[4], "count": torch.tensor(9)}


def update(policy, steps, secret=b"s"):
    """What leaves, as differences in the order of the keys."""
    released = release(policy_of(policy), GIVEN, moved(*steps), secret)
    assert released.keys() == GIVEN.keys()
    assert {key: value.dtype for key, value in released.items()} == {key: value.dtype for key, value in GIVEN.items()}
    assert released["count"] == 7
    gap = difference(released, GIVEN)
    return [*gap["body.w"].flatten().tolist(), *gap["head.w"].tolist()]


@pytest.mark.parametrize(
    ("policy", "steps", "leaves"),
    [
        ({"clip": 5.0}, (3, 0, 0, 0, 4), (3, 0, 0, 0, 4)),
        ({"clip": 2.5}, (3, 0, 0, 0, 4), (1.5, 0, 0, 0, 2)),
        ({"withhold": ["head"]}, (3, 0, 0, 0, 4), (3, 0, 0, 0, 0)),
        ({"withhold": ["head"], "clip": 3.0}, (3, 0, 0, 0, 400), (3, 0, 0, 0, 0)),
        ({"withhold": ["head", "body"]}, (3, 0, 0, 0, 4), (0, 0, 0, 0, 0)),
        ({"percentile": 50}, (1, -2, 3, -4, 5), (0, 0, 3, -4, 5)),
        ({"percentile": 75, "largest": 4.5}, (1, -2, 3, -4, 5), (0, 0, 0, -4, 4.5)),
        ({"largest": 2}, (1, -2, 3, -4, 5), (1, -2, 2, -2, 2)),
        ({"percentile": 60, "clip": 1}, (0, 0, 0, -3, 4), (0, 0, 0, -0.6, 0.8)),
    ],
)
def test_what_leaves_is_what_was_worked_out_by_hand(policy, steps, leaves):
    assert update(policy, steps) == pytest.approx(leaves, abs=1e-6)


def test_a_path_withholds_the_layers_below_it_and_no_namesake():
    keys = ["head.w", "head", "headless.w", "a.head.w"]
    assert policies.withheld(keys, ["head"]) == {"head.w", "head"}


def test_percentile_keeps_the_share_that_was_set():
    values = np.random.default_rng(0).normal(size=10_001)
    kept = large(values, 90, None)
    assert np.count_nonzero(kept) == 1001
    assert np.abs(values)[kept == 0].max() <= np.abs(kept[kept != 0]).min()


def test_over_many_updates_clipping_and_noise_are_what_was_set():
    rng, clip, noise, size = np.random.default_rng(1), 0.3, 1.7, 50
    given = {"w": torch.zeros(size, dtype=torch.float64)}
    policy, bare = policy_of({"clip": clip, "noise": noise}), policy_of({"clip": clip})
    residues, lengths = [], []
    for number in range(400):
        trained = {"w": torch.from_numpy(rng.normal(size=size) * 10 ** rng.uniform(-3, 2))}
        without = release(bare, given, trained, b"")["w"]
        lengths.append(float(without.norm()))
        assert lengths[-1] == pytest.approx(min(clip, float(trained["w"].norm())), rel=1e-9)
        residues.append((release(policy, given, trained, str(number).encode())["w"] - without).numpy())
    drawn = np.concatenate(residues) / (noise * clip)
    assert len(drawn) == 20_000
    assert max(lengths) == pytest.approx(clip)
    assert abs(drawn.mean()) < 4 / math.sqrt(len(drawn))  # 4 standard errors of a mean
    assert abs(drawn.std() - 1) < 4 / math.sqrt(2 * len(drawn))  # and of a standard deviation
    assert stats.kstest(drawn, "norm").pvalue > 0.001
    assert abs(np.corrcoef(residues[0], residues[1])[0, 1]) < 4 / math.sqrt(size)


def test_noise_follows_from_the_secret_and_every_bit_of_it():
    assert np.array_equal(gaussian(b"one", 5), gaussian(b"one", 5))
    assert np.array_equal(gaussian(b"one", 9)[:5], gaussian(b"one", 5))
    assert not np.intersect1d(gaussian(b"one", 1000), gaussian(b"onf", 1000)).size
    assert np.isfinite(gaussian(b"two", 100_000)).all()


def test_noise_falls_on_every_value_also_where_nothing_moved():
    assert all(step != 0 for step in update({"clip": 1, "noise": 1.0, "percentile": 80}, (0, 0, 0, 0, 1)))
    assert update({"clip": 1, "noise": 1.0, "withhold": ["head"]}, (0, 0, 0, 0, 1))[4] == 0


def test_the_clipped_update_of_any_two_data_sets_is_at_most_two_norms_apart():
    rng = np.random.default_rng(2)
    pairs = [(clipped(rng.normal(size=9), 0.5), clipped(rng.normal(size=9), 0.5)) for _ in range(200)]
    apart = max(float(np.linalg.norm(left - right)) for left, right in pairs)
    assert apart <= 1 + 1e-12
    single = policy_of({"clip": 0.5, "noise": 4})
    assert policies.update(single).mu == pytest.approx(2 * 0.5 / (4 * 0.5))  # sensitivity / standard deviation


def test_thirty_updates_cost_as_one_with_the_square_root_of_thirty_times_less_noise():
    policy, single = policy_of({"clip": 1, "noise": 20}), policy_of({"clip": 1, "noise": 20 / math.sqrt(30)})
    assert epsilon([policies.update(policy)] * 30, 1e-5) == pytest.approx(
        epsilon([policies.update(single)], 1e-5), rel=1e-6
    )


@pytest.mark.parametrize(
    "policy", [{"clip": 1, "noise": 20}, {"training": {"clip": 1, "noise": 4, "sampling": 0.2}}], ids=str
)
def test_the_rounds_left_are_just_those_that_the_budget_pays_for(policy):
    policy = policy_of({**policy, "budget": {"epsilon": 2.0}})
    cost = policies.a_round(policy, tiny_plan(fit={"epochs": 2}))
    left = rounds_left(policy.budget, [], cost, 1000)
    assert 0 < left < 1000
    assert epsilon(cost * left, 1e-5) <= 2 < epsilon(cost * (left + 1), 1e-5)
    assert rounds_left(policy.budget, cost * left, cost, 5) == 0
    assert rounds_left(None, [Event("update", mu=1e4)], cost, 5) == 5


def test_what_a_round_costs_follows_from_policy_and_job():
    policy = {"clip": 1, "noise": 20, "training": {"clip": 1, "noise": 4, "sampling": 0.3}}
    trained = Event("training", noise=4, sampling=0.3, steps=8)
    assert policies.a_round(policy_of(policy), tiny_plan(fit={"epochs": 2})) == [Event("update", mu=0.1), trained]
    assert policies.a_round(policy_of({"clip": 1, "noise": 20}), tiny_plan()) == [Event("update", mu=0.1)]
    assert policies.a_round(policy_of({}), tiny_plan()) == []


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"noise": 1.0}, "noise without clip"),
        ({"clip": 1, "budget": {"epsilon": 1}}, "a budget without noise"),
        ({"clip": -1}, "clip is -1"),
        ({"percentile": 100}, "percentile is 100"),
        ({"clip": 1, "noise": float("nan")}, "noise is nan"),
        ({"nosie": 1}, "unknown key 'nosie'"),
        ({"clip": 1, "noise": 1, "budget": {"epsilon": 1, "delta": 0}}, "budget.delta is 0"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(choices, words):
    with pytest.raises(Refused, match=words):
        policy_of(choices)


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_a_scheme_is_refused_for_the_reason_that_its_row_states(name):
    row, scheme = about(name), build(name, {})
    said = objection(policy_of({"clip": 1}), scheme)
    assert (row.blocks.get("update_noise") in said) if row.blocks.get("update_noise") else said is None
    said = objection(policy_of({"secure_aggregation": True}), scheme)
    if row.blocks.get("secure_aggregation"):
        assert row.blocks.get("secure_aggregation") in said
    else:
        assert said is None if scheme.hides_updates else f'"secagg" with `{name}` as its `inner`' in said
    assert objection(policy_of({}), scheme) is None


def test_a_wrapper_allows_no_more_than_the_scheme_within_it():
    within = {"inner": {"scheme": "ridge", "arguments": {}}}
    assert "`ridge` does not allow" in objection(policy_of({"clip": 1}), build("swa", within))
    within = {"inner": {"scheme": "feddc", "arguments": {}}}
    assert "with `feddc` somebody must" in objection(policy_of({"secure_aggregation": True}), build("swa", within))

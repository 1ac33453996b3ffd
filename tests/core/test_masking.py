"""Masks cancel in the sum of all and hide everything else."""

import hashlib
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, strategies
from scipy import stats

from brainct.core import masking
from brainct.errors import Refused

PRIVATE = {site: hashlib.sha256(site.encode()).digest() for site in ("a", "b", "c", "d", "e")}
KEYS = {site: masking.public_key(private) for site, private in PRIVATE.items()}
values = strategies.floats(-1e4, 1e4)


def weights_of(numbers):
    return {"w": torch.tensor(numbers).reshape(-1, 1), "b": torch.tensor(numbers[:1])}


SEED = {site: hashlib.sha256(private).digest() for site, private in PRIVATE.items()}


def sent(site, weights, keys=KEYS, words=(0,)):
    return masking.masked(weights, PRIVATE[site], SEED[site], site, keys, words)


def total(hidden, keys=KEYS, words=(0,)):
    """Of what some sites sent; the other sites of the keys were lost."""
    lost = {site: PRIVATE[site] for site in keys.keys() - hidden.keys()}
    return masking.total(hidden, {site: SEED[site] for site in hidden}, lost, keys, dict.fromkeys(hidden, words))


@given(
    strategies.dictionaries(strategies.sampled_from(sorted(KEYS)), strategies.lists(values, min_size=3, max_size=3)),
    strategies.sets(strategies.sampled_from(sorted(KEYS))),
)
def test_the_sum_over_all_sites_that_sent_is_the_sum_of_what_they_masked_to_the_bit(found, lost):
    keys = {site: KEYS[site] for site in {*found, *lost}}
    fixed = {site: masking.to_fixed_point(weights_of(numbers), 3.0, len(found)) for site, numbers in found.items()}
    hidden = {site: sent(site, fixed[site], keys) for site in sorted(found.keys() - lost)}
    if not hidden:
        return
    added = total(hidden, keys)
    for key in ("w", "b"):
        exact = sum(fixed[site][key] for site in hidden).double() * 2.0**-masking.BITS
        assert torch.equal(added[key], exact)
        plain = 3.0 * sum(weights_of(found[site])[key].double() for site in hidden)
        torch.testing.assert_close(added[key], plain, atol=1e-8, rtol=0)
    backwards = total(dict(reversed(list(hidden.items()))), keys)
    assert all(torch.equal(backwards[key], value) for key, value in added.items())


@pytest.mark.parametrize(
    "harm",
    [
        lambda seeds, lost: (seeds | {"a": SEED["b"]}, lost),
        lambda seeds, lost: (seeds, {}),
        lambda seeds, lost: (seeds, {"e": PRIVATE["d"]}),
        lambda seeds, lost: (dict.fromkeys(seeds, bytes(32)), lost),
    ],
)
def test_without_one_sites_secret_the_sum_is_noise(harm):
    fixed = masking.to_fixed_point(weights_of([1.0, 2.0, 3.0]), 1.0, 5)
    hidden = {site: sent(site, fixed) for site in "abcd"}
    seeds, lost = harm({site: SEED[site] for site in hidden}, {"e": PRIVATE["e"]})
    found = masking.total(hidden, seeds, lost, KEYS, dict.fromkeys(hidden, (0,)))
    assert found["w"].abs().max() > 1e5


def test_sites_that_were_given_different_things_leave_noise():
    fixed = masking.to_fixed_point(weights_of([1.0, 2.0, 3.0]), 1.0, 5)
    hidden = {site: sent(site, fixed, words=("other" if site == "c" else "same", 0)) for site in KEYS}
    assert total(hidden)["w"].abs().max() > 1e5


def test_what_one_site_sends_is_uniform_whatever_it_masks():
    for numbers in ([0.0] * 20_000, [12.5] * 20_000):
        words = sent("b", masking.to_fixed_point(weights_of(numbers), 1.0, 5))["w"].numpy().view(np.uint8)
        assert stats.chisquare(np.bincount(words.ravel(), minlength=256)).pvalue > 1e-3


def test_another_round_other_sites_and_another_pair_have_other_masks():
    zero = masking.to_fixed_point(weights_of([0.0] * 8), 1.0, 5)
    fewer = {site: KEYS[site] for site in "abc"}
    all_masks = [
        sent("a", zero),
        sent("a", zero, words=(1,)),
        sent("a", zero, fewer),
        sent("b", zero, fewer),
        sent("c", zero),
    ]
    for first, second in itertools.combinations(all_masks, 2):
        assert not (first["w"] == second["w"]).any()


def test_a_pair_that_is_in_two_sums_has_another_mask_in_each():
    zero = masking.to_fixed_point(weights_of([0.0] * 8), 1.0, 5)
    own = sent("a", zero, {"a": KEYS["a"]})["w"]
    both, other, whole = (
        sent("a", zero, {site: KEYS[site] for site in sites})["w"] - own for sites in ("ab", "ac", "abc")
    )
    assert not (both + other == whole).any()


def test_a_mean_is_over_the_shares_and_integers_are_rounded():
    total = {key: torch.tensor([22.0]).double() for key in "nw"}
    found = masking.mean_of_sum(total, 6.0, {"n": torch.tensor([0]), "w": torch.tensor([0.0])})
    assert (found["n"].tolist(), found["n"].dtype, found["w"].dtype) == ([4], torch.int64, torch.float32)
    torch.testing.assert_close(found["w"], torch.tensor([11 / 3]))


def test_values_are_rounded_to_the_nearest_step_and_what_could_overflow_is_refused():
    step = 2.0**-masking.BITS
    value = torch.tensor([0.4, 0.6, -0.6, 1.0], dtype=torch.float64) * step
    assert masking.to_fixed_point({"w": value}, 1.0, 5)["w"].tolist() == [0, 1, -1, 1]
    most = 2.0 ** (62 - masking.BITS) / 5
    assert masking.to_fixed_point({"w": torch.tensor([0.99 * most])}, 1.0, 5)["w"].item() > 0
    for bad in (most, -most, float("inf"), float("nan")):
        with pytest.raises(Refused, match=r"tensor w, times its scans, holds .*; a sum under masks takes less than"):
            masking.to_fixed_point({"w": torch.tensor([bad], dtype=torch.float64)}, 1.0, 5)


@pytest.mark.parametrize("key", ["00" * 32, "01" + "00" * 31, "ff", "no hex"])
def test_a_key_that_is_none_is_refused_with_whose_it_is(key):
    with pytest.raises(Refused, match="the public key of b is not an X25519 key"):
        sent("a", masking.to_fixed_point(weights_of([1.0]), 1.0, 2), {"a": KEYS["a"], "b": key})

"""Dealing one data set out: disjoint, complete, groups whole, seeded, and skewed as asked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from brainct.ct.partition import dealt
from brainct.ct.site_config import Deal
from brainct.errors import Refused

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
FRACTIONS = (0.6, 0.2, 0.2)
TRAIN_ONLY = (1.0, 0.0, 0.0)
HOWS = st.sampled_from(["iid", "dirichlet", "size"])
TESTS = st.sampled_from(["shared", "dealt"])


def halves(count: int) -> tuple[Floats, Ints]:
    """As many positives as negatives, every scan a group of its own."""
    return (np.arange(count) < count / 2).astype(np.float32), np.arange(count)


def plan(how: str, test: str = "shared", **choices: object) -> Deal:
    return Deal.model_validate({"how": how, "test": test, **choices})


@st.composite
def decks(draw: st.DrawFn) -> tuple[Floats, Ints, int]:
    """Labels, groups of at most 4, and a number of sites for which there are groups enough and to spare."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=8, max_size=30))
    which = np.repeat(np.arange(len(sizes)), sizes)
    values = draw(st.lists(st.sampled_from([0.0, 1.0, np.nan]), min_size=len(which), max_size=len(which)))
    return np.array(values, np.float32), which, draw(st.integers(1, len(sizes) // 3))


@settings(deadline=None)
@given(decks(), HOWS, TESTS, st.integers(0, 3))
def test_shares_are_disjoint_and_each_trains_on_something(
    deck: tuple[Floats, Ints, int], how: str, test: str, seed: int
) -> None:
    labels, which, sites = deck
    laid = np.stack(dealt(labels, which, FRACTIONS, plan(how, test, seed=seed), sites))
    assert laid.shape == (sites, len(labels))
    own = (laid == 0) | (laid == 1) if test == "shared" else laid >= 0
    assert own.sum(0).max() == 1
    assert (laid == 0).any(1).all()


@settings(deadline=None)
@given(decks(), HOWS, TESTS, st.integers(0, 3))
def test_no_group_is_both_trained_and_tested_on_nor_at_two_sites(
    deck: tuple[Floats, Ints, int], how: str, test: str, seed: int
) -> None:
    labels, which, sites = deck
    laid = np.stack(dealt(labels, which, FRACTIONS, plan(how, test, seed=seed), sites))
    for group in np.unique(which):
        folds = laid[:, which == group]
        assert len(np.unique(folds[folds >= 0])) <= 1
        if not (test == "shared" and (folds == 2).any()):
            assert (folds >= 0).any(1).sum() <= 1


@settings(deadline=None)
@given(decks(), HOWS, st.integers(0, 3))
def test_every_site_is_given_the_same_shared_test(deck: tuple[Floats, Ints, int], how: str, seed: int) -> None:
    labels, which, sites = deck
    laid = np.stack(dealt(labels, which, FRACTIONS, plan(how, seed=seed), sites))
    tested = laid == 2
    assert (tested == tested[0]).all()
    assert abs(tested[0].sum() - 0.2 * len(labels)) <= 4


@settings(deadline=None)
@given(st.integers(6, 60), st.integers(1, 3), HOWS, TESTS)
def test_single_scans_are_all_dealt(count: int, sites: int, how: str, test: str) -> None:
    labels, which = halves(count)
    laid = np.stack(dealt(labels, which, FRACTIONS, plan(how, test), sites))
    assert (laid >= 0).any(0).all()


@settings(deadline=None)
@given(decks(), HOWS, st.integers(0, 3))
def test_the_same_seed_deals_the_same(deck: tuple[Floats, Ints, int], how: str, seed: int) -> None:
    labels, which, sites = deck
    one, other = (dealt(labels, which, FRACTIONS, plan(how, seed=seed), sites) for _ in range(2))
    assert np.array_equal(one, other)


def test_another_seed_and_another_number_of_sites_deal_differently() -> None:
    labels, which = halves(40)
    first = dealt(labels, which, FRACTIONS, plan("iid"), 4)
    assert not np.array_equal(first[0], dealt(labels, which, FRACTIONS, plan("iid", seed=1), 4)[0])
    assert not np.array_equal(first[0], dealt(labels, which, FRACTIONS, plan("iid"), 5)[0])


def test_even_shares_differ_by_one_scan_at_most() -> None:
    laid = dealt(*halves(50), TRAIN_ONLY, plan("iid"), 4)
    assert sorted(int((share == 0).sum()) for share in laid) == [12, 12, 13, 13]


@pytest.mark.parametrize("how", ["iid", "dirichlet"])
def test_the_number_of_training_scans_is_kept_and_the_test_is_the_rest(how: str) -> None:
    laid = dealt(*halves(140), TRAIN_ONLY, plan(how, scans=16, test_scans="rest"), 4)
    assert [int((share == 0).sum()) for share in laid] == [16] * 4
    assert [int((share == 2).sum()) for share in laid] == [76] * 4


@settings(deadline=None)
@given(decks(), st.sampled_from(["iid", "dirichlet"]), st.integers(0, 3))
def test_the_rest_holds_no_group_that_is_trained_on(deck: tuple[Floats, Ints, int], how: str, seed: int) -> None:
    labels, which, sites = deck
    deal = plan(how, seed=seed, scans=2, test_scans="rest")
    laid = np.stack(dealt(labels, which, TRAIN_ONLY, deal, sites))
    assert (laid == 0).sum(1).tolist() == [2] * sites
    assert not set(which[(laid == 0).any(0)].tolist()) & set(which[laid[0] == 2].tolist())


def test_training_scans_are_counted_without_the_validation_scans() -> None:
    laid = dealt(*halves(140), FRACTIONS, plan("iid", scans=12, test_scans=20), 3)
    assert [np.bincount(share[share >= 0], minlength=3).tolist() for share in laid] == [[12, 4, 20]] * 3


def test_a_patient_with_more_scans_than_a_share_is_cut_not_shared() -> None:
    which = np.repeat(np.arange(8), 10)
    labels = np.tile([0.0, 1.0], 40).astype(np.float32)
    laid = np.stack(dealt(labels, which, TRAIN_ONLY, plan("iid", scans=6, test_scans="rest"), 3))
    assert (laid == 0).sum(1).tolist() == [6, 6, 6]
    for group in range(8):
        assert len(np.unique(laid[:, which == group][laid[:, which == group] >= 0])) == 1


def _spread(how: str, alpha: float) -> float:
    """Mean over seeds of the standard deviation over sites: of positive shares, or for `size` of sizes."""
    spreads = []
    for seed in range(8):
        labels, which = halves(400)
        laid = dealt(labels, which, TRAIN_ONLY, plan(how, alpha=alpha, seed=seed), 8)
        shares = [float(labels[own == 0].mean()) if how == "dirichlet" else float((own == 0).mean()) for own in laid]
        spreads.append(np.std(shares))
    return float(np.mean(spreads))


def test_a_small_alpha_skews_the_labels_and_a_large_one_does_not() -> None:
    assert _spread("dirichlet", 0.1) > 0.3
    assert _spread("dirichlet", 1000) < 0.05


def test_a_small_alpha_makes_shares_unequal_and_a_large_one_equal() -> None:
    assert _spread("size", 0.5) > 0.08
    assert _spread("size", 1000) < 0.01


def test_the_shared_test_holds_both_classes_as_the_whole_does() -> None:
    labels, which = halves(100)
    for seed in range(5):
        tested = dealt(labels, which, FRACTIONS, plan("dirichlet", alpha=0.1, seed=seed), 4)[0] == 2
        assert tested.sum() == 20
        assert labels[tested].sum() == 10


def test_the_shared_test_is_the_same_for_any_number_of_sites() -> None:
    few, many = (dealt(*halves(60), FRACTIONS, plan("iid"), sites)[0] == 2 for sites in (2, 7))
    assert np.array_equal(few, many)


def test_a_test_smaller_than_any_patient_takes_one_patient() -> None:
    which = np.repeat(np.arange(6), 10)
    laid = dealt(np.zeros(60, np.float32), which, FRACTIONS, plan("iid", test_scans=5), 2)
    assert [int((share == 2).sum()) for share in laid] == [10, 10]


@settings(deadline=None)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=8), HOWS, st.integers(0, 50))
def test_each_site_gets_something_even_when_there_are_as_many_sites_as_patients(
    sizes: list[int], how: str, seed: int
) -> None:
    which = np.repeat(np.arange(len(sizes)), sizes)
    labels = (which % 2).astype(np.float32)
    laid = dealt(labels, which, FRACTIONS, plan(how, "dealt", seed=seed), len(sizes))
    assert all((share == 0).any() for share in laid)


@pytest.mark.parametrize(
    ("count", "sites", "deal", "words"),
    [
        (3, 4, plan("iid"), "4 sites but only 3 images: simulate fewer sites"),
        (10, 9, plan("iid"), "9 sites but only 8 patients or sets of near duplicates to deal"),
        (40, 4, plan("iid", scans=16), "4 sites with 16 scans each need 64, 32 can be dealt: lower `deal.scans`"),
        (
            64,
            4,
            plan("iid", scans=16, test_scans="rest"),
            "the sites' 64 scans leave none to test on: lower `deal.scans`",
        ),
        (40, 2, plan("iid", test_scans=40), "`deal.test_scans`: got 40, wanted fewer than the 40 scans there are"),
    ],
)
def test_a_deal_that_cannot_be_is_refused(count: int, sites: int, deal: Deal, words: str) -> None:
    with pytest.raises(Refused) as refusal:
        dealt(*halves(count), (0.8, 0.0, 0.2), deal, sites)
    assert words in str(refusal.value)

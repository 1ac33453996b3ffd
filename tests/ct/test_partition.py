"""A partition of one data set: disjoint, complete, groups whole, seeded, and skewed as configured."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from brainct.ct.partition import partition_scans
from brainct.ct.site_choices import Partition
from brainct.errors import Refused

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
FRACTIONS = (0.6, 0.2, 0.2)
TRAIN_ONLY = (1.0, 0.0, 0.0)
HOWS = st.sampled_from(["iid", "dirichlet", "size"])
TESTS = st.sampled_from(["shared", "own"])


def halves(count: int) -> tuple[Floats, Ints]:
    """As many positives as negatives, every scan a group of its own."""
    return (np.arange(count) < count / 2).astype(np.float32), np.arange(count)


def choices(how: str, test: str = "shared", **choices: object) -> Partition:
    return Partition.model_validate({"how": how, "test": test, **choices})


@st.composite
def decks(draw: st.DrawFn) -> tuple[Floats, Ints, int]:
    """Labels, groups of at most 4, and a number of sites for which there are groups enough and to spare."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=8, max_size=30))
    which = np.repeat(np.arange(len(sizes)), sizes)
    values = draw(st.lists(st.sampled_from([0.0, 1.0, np.nan]), min_size=len(which), max_size=len(which)))
    return np.array(values, np.float32), which, draw(st.integers(1, len(sizes) // 3))


@settings(deadline=None)
@given(decks(), HOWS, TESTS, st.integers(0, 3))
def test_shares_are_disjoint_and_every_site_has_training_scans(
    deck: tuple[Floats, Ints, int], how: str, test: str, seed: int
) -> None:
    labels, which, sites = deck
    folds = np.stack(partition_scans(labels, which, FRACTIONS, choices(how, test, seed=seed), sites))
    assert folds.shape == (sites, len(labels))
    own = (folds == 0) | (folds == 1) if test == "shared" else folds >= 0
    assert own.sum(0).max() == 1
    assert (folds == 0).any(1).all()


@settings(deadline=None)
@given(decks(), HOWS, TESTS, st.integers(0, 3))
def test_no_group_is_in_two_folds_or_at_two_sites(
    deck: tuple[Floats, Ints, int], how: str, test: str, seed: int
) -> None:
    labels, which, sites = deck
    folds = np.stack(partition_scans(labels, which, FRACTIONS, choices(how, test, seed=seed), sites))
    for group in np.unique(which):
        of_group = folds[:, which == group]
        assert len(np.unique(of_group[of_group >= 0])) <= 1
        if not (test == "shared" and (of_group == 2).any()):
            assert (of_group >= 0).any(1).sum() <= 1


@settings(deadline=None)
@given(decks(), HOWS, st.integers(0, 3))
def test_every_site_has_the_same_shared_test_fold(deck: tuple[Floats, Ints, int], how: str, seed: int) -> None:
    labels, which, sites = deck
    folds = np.stack(partition_scans(labels, which, FRACTIONS, choices(how, seed=seed), sites))
    tested = folds == 2
    assert (tested == tested[0]).all()
    assert abs(tested[0].sum() - 0.2 * len(labels)) <= 4


@settings(deadline=None)
@given(st.integers(6, 60), st.integers(1, 3), HOWS, TESTS)
def test_every_single_scan_is_used(count: int, sites: int, how: str, test: str) -> None:
    labels, which = halves(count)
    folds = np.stack(partition_scans(labels, which, FRACTIONS, choices(how, test), sites))
    assert (folds >= 0).any(0).all()


@settings(deadline=None)
@given(decks(), HOWS, st.integers(0, 3))
def test_the_same_seed_gives_the_same_partition(deck: tuple[Floats, Ints, int], how: str, seed: int) -> None:
    labels, which, sites = deck
    one, other = (partition_scans(labels, which, FRACTIONS, choices(how, seed=seed), sites) for _ in range(2))
    assert np.array_equal(one, other)


def test_another_seed_or_number_of_sites_gives_another_partition() -> None:
    labels, which = halves(40)
    first = partition_scans(labels, which, FRACTIONS, choices("iid"), 4)
    assert not np.array_equal(first[0], partition_scans(labels, which, FRACTIONS, choices("iid", seed=1), 4)[0])
    assert not np.array_equal(first[0], partition_scans(labels, which, FRACTIONS, choices("iid"), 5)[0])


def test_even_shares_differ_by_one_scan_at_most() -> None:
    folds = partition_scans(*halves(50), TRAIN_ONLY, choices("iid"), 4)
    assert sorted(int((share == 0).sum()) for share in folds) == [12, 12, 13, 13]


@pytest.mark.parametrize("how", ["iid", "dirichlet"])
def test_each_site_has_the_configured_number_of_training_scans_and_the_test_fold_is_the_rest(how: str) -> None:
    folds = partition_scans(*halves(140), TRAIN_ONLY, choices(how, scans=16, test_scans="rest"), 4)
    assert [int((share == 0).sum()) for share in folds] == [16] * 4
    assert [int((share == 2).sum()) for share in folds] == [76] * 4


@settings(deadline=None)
@given(decks(), st.sampled_from(["iid", "dirichlet"]), st.integers(0, 3))
def test_the_rest_contains_no_group_of_a_training_fold(deck: tuple[Floats, Ints, int], how: str, seed: int) -> None:
    labels, which, sites = deck
    partition = choices(how, seed=seed, scans=2, test_scans="rest")
    folds = np.stack(partition_scans(labels, which, TRAIN_ONLY, partition, sites))
    assert (folds == 0).sum(1).tolist() == [2] * sites
    assert not set(which[(folds == 0).any(0)].tolist()) & set(which[folds[0] == 2].tolist())


def test_training_scans_are_counted_without_the_validation_scans() -> None:
    folds = partition_scans(*halves(140), FRACTIONS, choices("iid", scans=12, test_scans=20), 3)
    assert [np.bincount(share[share >= 0], minlength=3).tolist() for share in folds] == [[12, 4, 20]] * 3


def test_a_patient_with_more_scans_than_a_share_is_cut_not_shared() -> None:
    which = np.repeat(np.arange(8), 10)
    labels = np.tile([0.0, 1.0], 40).astype(np.float32)
    folds = np.stack(partition_scans(labels, which, TRAIN_ONLY, choices("iid", scans=6, test_scans="rest"), 3))
    assert (folds == 0).sum(1).tolist() == [6, 6, 6]
    for group in range(8):
        assert len(np.unique(folds[:, which == group][folds[:, which == group] >= 0])) == 1


def _spread(how: str, alpha: float) -> float:
    """Mean over seeds of the standard deviation over sites: of positive shares, or for `size` of sizes."""
    spreads = []
    for seed in range(8):
        labels, which = halves(400)
        folds = partition_scans(labels, which, TRAIN_ONLY, choices(how, alpha=alpha, seed=seed), 8)
        shares = [float(labels[own == 0].mean()) if how == "dirichlet" else float((own == 0).mean()) for own in folds]
        spreads.append(np.std(shares))
    return float(np.mean(spreads))


def test_a_small_alpha_skews_the_labels_and_a_large_one_does_not() -> None:
    assert _spread("dirichlet", 0.1) > 0.3
    assert _spread("dirichlet", 1000) < 0.05


def test_a_small_alpha_makes_shares_unequal_and_a_large_one_equal() -> None:
    assert _spread("size", 0.5) > 0.08
    assert _spread("size", 1000) < 0.01


def test_the_shared_test_fold_has_both_classes_in_the_proportion_of_the_whole() -> None:
    labels, which = halves(100)
    for seed in range(5):
        tested = partition_scans(labels, which, FRACTIONS, choices("dirichlet", alpha=0.1, seed=seed), 4)[0] == 2
        assert tested.sum() == 20
        assert labels[tested].sum() == 10


def test_the_shared_test_is_the_same_for_any_number_of_sites() -> None:
    few, many = (partition_scans(*halves(60), FRACTIONS, choices("iid"), sites)[0] == 2 for sites in (2, 7))
    assert np.array_equal(few, many)


def test_a_test_fold_smaller_than_any_patient_is_one_patient() -> None:
    which = np.repeat(np.arange(6), 10)
    folds = partition_scans(np.zeros(60, np.float32), which, FRACTIONS, choices("iid", test_scans=5), 2)
    assert [int((share == 2).sum()) for share in folds] == [10, 10]


@settings(deadline=None)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=8), HOWS, st.integers(0, 50))
def test_no_site_is_empty_when_there_are_as_many_sites_as_patients(sizes: list[int], how: str, seed: int) -> None:
    which = np.repeat(np.arange(len(sizes)), sizes)
    labels = (which % 2).astype(np.float32)
    folds = partition_scans(labels, which, FRACTIONS, choices(how, "own", seed=seed), len(sizes))
    assert all((share == 0).any() for share in folds)


@pytest.mark.parametrize(
    ("count", "sites", "partition", "words"),
    [
        (3, 4, choices("iid"), "4 sites but only 3 images: simulate fewer sites"),
        (10, 9, choices("iid"), "9 sites but only 8 patients or sets of near duplicates"),
        (
            40,
            4,
            choices("iid", scans=16),
            "4 sites with 16 scans each need 64, 32 are left: lower `partition.scans`",
        ),
        (
            64,
            4,
            choices("iid", scans=16, test_scans="rest"),
            "the sites' 64 scans leave no test scan: lower `partition.scans`",
        ),
        (
            40,
            2,
            choices("iid", test_scans=40),
            "`partition.test_scans`: got 40, wanted fewer than the 40 scans",
        ),
    ],
)
def test_an_impossible_partition_is_refused(count: int, sites: int, partition: Partition, words: str) -> None:
    with pytest.raises(Refused) as refusal:
        partition_scans(*halves(count), (0.8, 0.0, 0.2), partition, sites)
    assert words in str(refusal.value)

"""Folds: complete, seeded, stratified, and never one group in two of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from brainct.ct.split import ALIKE, COPY, duplicate_threshold, groups, join_groups, near_duplicates, split_folds

Floats = NDArray[np.float32]
FRACTIONS = (0.6, 0.2, 0.2)


def noise(seed: int, count: int) -> Floats:
    return np.random.default_rng(seed).random((count, 32, 32)).astype(np.float32)


@st.composite
def scans(draw: st.DrawFn) -> tuple[Floats, NDArray[np.int64]]:
    """Labels of `any` and groups of 1 to 60 scans, every group of at most 5."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=12))
    which = np.repeat(np.arange(len(sizes)), sizes)
    values = draw(st.lists(st.sampled_from([0.0, 1.0, np.nan]), min_size=len(which), max_size=len(which)))
    return np.array(values, np.float32), np.random.default_rng(len(which)).permutation(which)


@settings(deadline=None)
@given(scans(), st.integers(0, 5))
def test_every_scan_is_in_one_fold_and_no_group_in_two(data: tuple[Floats, NDArray[np.int64]], seed: int) -> None:
    labels, which = data
    fold_of = split_folds(labels, which, FRACTIONS, seed)
    assert len(fold_of) == len(labels)
    assert set(fold_of.tolist()) <= {0, 1, 2}
    assert all(len(set(fold_of[which == group].tolist())) == 1 for group in which)


@settings(deadline=None)
@given(scans(), st.integers(0, 5))
def test_no_fold_is_empty_if_there_are_enough_groups(data: tuple[Floats, NDArray[np.int64]], seed: int) -> None:
    labels, which = data
    filled = set(split_folds(labels, which, FRACTIONS, seed).tolist())
    assert 0 in filled
    assert len(filled) == min(3, len(set(which.tolist())))


@settings(deadline=None)
@given(scans(), st.integers(0, 5))
def test_a_fold_of_fraction_zero_stays_empty(data: tuple[Floats, NDArray[np.int64]], seed: int) -> None:
    assert 1 not in split_folds(*data, (0.7, 0.0, 0.3), seed)


@settings(deadline=None)
@given(scans(), st.integers(0, 5))
def test_the_same_seed_gives_the_same_folds(data: tuple[Floats, NDArray[np.int64]], seed: int) -> None:
    assert np.array_equal(split_folds(*data, FRACTIONS, seed), split_folds(*data, FRACTIONS, seed))


def test_another_seed_gives_other_folds() -> None:
    labels, which = np.zeros(50, np.float32), np.arange(50)
    assert not np.array_equal(split_folds(labels, which, FRACTIONS, 0), split_folds(labels, which, FRACTIONS, 1))


@pytest.mark.parametrize("positive", [10, 33, 50])
def test_positives_are_spread_as_the_fractions_say(positive: int) -> None:
    labels = (np.arange(100) < positive).astype(np.float32)
    fold_of = split_folds(labels, np.arange(100), FRACTIONS, 3)
    assert np.bincount(fold_of).tolist() == [60, 20, 20]
    for fold, fraction in enumerate(FRACTIONS):
        assert abs(labels[fold_of == fold].sum() - fraction * positive) <= 1


def test_large_groups_do_not_upset_the_fractions() -> None:
    which = np.repeat(np.arange(30), 10)
    counts = np.bincount(split_folds(np.zeros(300, np.float32), which, FRACTIONS, 0))
    assert counts.tolist() == [180, 60, 60]


def test_one_large_group_among_single_scans_does_not_upset_the_fractions() -> None:
    which = np.concatenate([np.zeros(20, np.int64), np.arange(1, 81)])
    for seed in range(5):
        assert np.bincount(split_folds(np.zeros(100, np.float32), which, FRACTIONS, seed)).tolist() == [60, 20, 20]


def test_scans_of_one_patient_are_one_group() -> None:
    assert groups(noise(0, 5), ["p", "q", "p", None, None]).tolist() == [0, 1, 0, 2, 3]


def test_near_duplicates_are_one_group_and_different_scans_are_not() -> None:
    small = noise(0, 4)
    small[3] = small[1] * 0.5 + 0.1 + 0.02 * noise(1, 1)[0]
    assert groups(small, [None] * 4).tolist() == [0, 1, 2, 1]


def test_a_patient_and_a_duplicate_chain_into_one_group() -> None:
    small = noise(0, 4)
    small[2] = small[1]
    assert groups(small, ["p", "p", "q", "q"]).tolist() == [0, 0, 0, 0]


def test_two_blank_images_are_no_duplicates() -> None:
    assert near_duplicates(np.zeros((2, 32, 32), np.float32)) == []


def test_pairs_are_found_across_blocks() -> None:
    small = noise(0, 7)
    small[6] = small[0]
    assert near_duplicates(small, block=2) == [(0, 6)]


def test_where_patients_are_known_only_copies_are_joined() -> None:
    assert duplicate_threshold(["p", None]) == ALIKE
    assert duplicate_threshold(["p", "q"]) == COPY
    small = noise(0, 2)
    small[1] = small[0] + 0.3 * small[1]
    assert len(near_duplicates(small, ALIKE)) == 1
    assert groups(small, ["p", "q"]).tolist() == [0, 1]
    assert groups(small, ["p", None]).tolist() == [0, 0]


@given(st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=12))
def test_groups_do_not_depend_on_the_order_of_the_pairs(pairs: list[tuple[int, int]]) -> None:
    unknown = [None] * 15
    forward = join_groups(pairs, unknown)
    assert np.array_equal(forward, join_groups(pairs[::-1], unknown))
    assert all(forward[one] == forward[other] for one, other in pairs)
    assert len(set(forward.tolist())) >= 15 - len(pairs)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=10),
    st.lists(st.sampled_from([None, "p", "q", "r"]), min_size=10, max_size=10),
)
def test_groups_are_the_connected_scans_numbered_by_their_first_scan(
    pairs: list[tuple[int, int]], patients: list[str | None]
) -> None:
    same = [(i, j) for i in range(10) for j in range(i) if patients[i] is not None and patients[i] == patients[j]]
    number = list(range(10))
    for _ in range(10):  # the lowest number spreads along every edge
        for one, other in [*pairs, *same]:
            number[one] = number[other] = min(number[one], number[other])
    ranks = sorted(set(number))
    assert join_groups(pairs, patients).tolist() == [ranks.index(each) for each in number]

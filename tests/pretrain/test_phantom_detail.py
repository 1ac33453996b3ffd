"""The choice of the phantom's details: folds of whole groups, and no slice takes part in the choice that it scores."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from brainct.ct.phantom import DETAILS

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    import phantom_detail

    yield phantom_detail
    sys.modules.pop("phantom_detail")


def slices(bench, count=60):
    labels = np.arange(count) % 2
    names = tuple(f"{at:03d}.png" for at in range(count))
    return bench.Real(names, torch.zeros(count, 3, 4, 4), labels, bench.folds_of(names, labels, np.arange(count)))


def row(bench, real, detail, seed, good):
    """A start model that is better by `good` for each detail in it, with noise of its own."""
    noise = np.random.default_rng([seed, *map(list(DETAILS).index, detail)]).normal(size=len(real.names))
    scores = real.labels * (0.5 + sum(good.get(name, 0.0) for name in detail)) + noise
    named = {"kind": "start", "detail": list(detail), "seed": seed, "phantom_auroc": 0.8, "cpu": 1.0}
    return named | {"scores": dict(zip(real.names, scores.tolist(), strict=True))}


def chosen(bench, real, good, fold, spoil=()):
    """The choice, after the scores of the slices `spoil` were turned around in every run."""
    rows = []
    while True:
        choice = bench.choose(bench.Found(rows, real), fold)
        if not choice.missing:
            return choice
        rows.append(row(bench, real, *choice.missing[0], good))
        for at in spoil:
            rows[-1]["scores"][real.names[at]] *= -5


def test_folds_hold_both_labels_evenly_and_groups_stay_whole(bench):
    labels, groups = np.arange(140) // 70, np.arange(140)
    groups[[11, 61]] = groups[[12, 30]] = 11
    names = tuple(f"{at:03d}.png" for at in range(140))
    fold_of = bench.folds_of(names, labels, groups)
    assert len({fold_of[at] for at in (11, 61, 12, 30)}) == 1
    for fold in range(bench.FOLDS):
        assert np.bincount(labels[fold_of == fold]).tolist() == [14, 14]
    np.testing.assert_array_equal(fold_of, bench.folds_of(names, labels, groups))


def test_each_detail_is_in_half_of_the_runs_of_the_design_and_in_half_of_those_with_another(bench):
    on = np.array([[name in detail for name in DETAILS] for detail, _ in bench.design()])
    assert (on.sum(0) == 16).all()
    both = on.T.astype(int) @ on.astype(int)
    assert (both[~np.eye(len(DETAILS), dtype=bool)] == 8).all()


def test_a_detail_that_helps_is_chosen_and_one_that_harms_is_not(bench):
    choice = chosen(bench, slices(bench), {"gyri": 1.5, "marks": -1.0}, None)
    assert "gyri" in choice.detail
    assert "marks" not in choice.detail
    assert choice.steps[0][0] == "gyri"
    assert len(choice.steps) <= bench.CANDIDATES
    assert all(gain > 0 for name, gain in choice.steps if name in choice.detail)


def test_the_choice_without_a_fold_does_not_depend_on_its_slices(bench):
    real, good = slices(bench), {"gyri": 0.6, "lobes": 0.5, "marks": -0.5}
    inside = np.flatnonzero(real.fold_of == 2)
    assert chosen(bench, real, good, 2) == chosen(bench, real, good, 2, spoil=inside)
    assert chosen(bench, real, good, None).steps != chosen(bench, real, good, None, spoil=inside).steps


def test_the_hospitals_train_on_the_slices_outside_the_fold_once_each(bench, monkeypatch):
    real = slices(bench, 140)
    real.images[:] = torch.arange(140.0)[:, None, None, None]
    monkeypatch.setattr(bench, "real", lambda: real)
    data = bench.hospitals(1, 2)
    test = {int(one[0, 0, 0]) for one in data["site-1"].folds["test"].inputs}
    train = [int(one[0, 0, 0]) for site in data.values() for one in site.folds["train"].inputs]
    assert test == set(np.flatnonzero(real.fold_of == 1).tolist())
    assert len(train) == len(set(train)) == 112
    assert not test & set(train)
    for site in data.values():
        assert site.folds["train"].labels[:, -1].sum() == 8

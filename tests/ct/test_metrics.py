"""Scores equal scikit-learn's, count what is known, and say why a number is missing."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import (
    balanced_accuracy_score,
    brier_score_loss,
    confusion_matrix,
    roc_auc_score,
    roc_curve,
)

from brainct.ct.folds import FINDINGS
from brainct.ct.metrics import scores
from brainct.errors import Refused

Array = NDArray[np.float64]


def evaluated(seed: int, rows: int = 40, hidden: float = 0.0) -> tuple[Array, Array]:
    """Labels (rows, 6), of which a part is hidden, and probabilities; the first two rows hold both classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=(rows, 6)).astype(float)
    labels[rng.random(labels.shape) < hidden] = np.nan
    labels[0], labels[1] = 0, 1
    return labels, rng.random((rows, 6))


@pytest.mark.parametrize("hidden", [0.0, 0.4])
def test_every_score_is_that_of_scikit_learn_on_the_labelled_scans(hidden: float) -> None:
    labels, probabilities = evaluated(0, hidden=hidden)
    found = scores(labels, probabilities)
    assert list(found) == list(FINDINGS)
    for column, name in enumerate(FINDINGS):
        known = ~np.isnan(labels[:, column])
        truth, guess = labels[known, column], probabilities[known, column]
        assert found[name]["auroc"] == pytest.approx(roc_auc_score(truth, guess))
        assert found[name]["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, guess >= 0.5))
        assert found[name]["brier"] == pytest.approx(brier_score_loss(truth, guess))
        tn, fp, fn, tp = confusion_matrix(truth, guess >= 0.5).ravel()
        assert found[name]["confusion"] == {"tp": tp, "fp": fp, "tn": tn, "fn": fn}
        false, sensitivity, _ = roc_curve(truth, guess)
        at = found[name]["sensitivity_at_90_specificity"]
        assert at == pytest.approx(max(s for f, s in zip(false, sensitivity, strict=True) if f <= 0.1))
        counts = (truth.sum(), (1 - truth).sum(), (~known).sum())
        assert (found[name]["positives"], found[name]["negatives"], found[name]["unlabelled"]) == counts
        assert found[name]["reason"] is None


def test_a_probability_of_one_half_counts_as_positive() -> None:
    labels, probabilities = evaluated(0, rows=2)
    probabilities[:] = [[0.49], [0.5]]
    assert scores(labels, probabilities)["any"]["balanced_accuracy"] == 1


@pytest.mark.parametrize(
    ("value", "reason", "brier"), [(0.0, "no positive scan", 0.04), (1.0, "no negative scan", 0.64)]
)
def test_with_one_class_only_the_brier_score_is_left_and_the_reason_is_said(
    value: float, reason: str, brier: float
) -> None:
    labels, probabilities = np.full((3, 6), value), np.full((3, 6), 0.2)
    one = scores(labels, probabilities)["epidural"]
    assert (one["auroc"], one["balanced_accuracy"], one["reason"]) == (None, None, reason)
    assert one["brier"] == pytest.approx(brier)


@pytest.mark.parametrize("rows", [0, 3])
def test_without_a_labelled_scan_there_is_no_score(rows: int) -> None:
    one = scores(np.full((rows, 6), np.nan), np.full((rows, 6), 0.2))["any"]
    assert one == {
        "auroc": None,
        "balanced_accuracy": None,
        "auroc_interval": None,
        "sensitivity_at_90_specificity": None,
        "brier": None,
        "ece": None,
        "confusion": None,
        "calibration": [],
        "positives": 0,
        "negatives": 0,
        "unlabelled": rows,
        "reason": "no labelled scan",
    }


def test_scores_are_ready_for_json_without_nan() -> None:
    labels, probabilities = evaluated(1, hidden=0.3)
    labels[:, 2], labels[:, 4] = np.nan, 0
    found = scores(labels.astype(np.float32), probabilities.astype(np.float32))
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), column=st.integers(0, 5), extra=st.integers(1, 5))
def test_scans_without_a_label_change_nothing_but_their_count(seed: int, column: int, extra: int) -> None:
    labels, probabilities = evaluated(seed, hidden=0.3)
    before = scores(labels, probabilities)
    more = np.vstack([np.full((extra, 6), np.nan), labels])
    after = scores(more, np.vstack([np.random.default_rng(seed).random((extra, 6)), probabilities]))
    assert after == {name: one | {"unlabelled": one["unlabelled"] + extra} for name, one in before.items()}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), column=st.integers(0, 5))
def test_an_unlabelled_finding_leaves_the_other_findings_as_they_were(seed: int, column: int) -> None:
    labels, probabilities = evaluated(seed, hidden=0.3)
    before = scores(labels, probabilities)
    labels[:, column], probabilities[:, column] = np.nan, 0.5
    after = scores(labels, probabilities)
    assert after.pop(FINDINGS[column])["reason"] == "no labelled scan"
    before.pop(FINDINGS[column])
    assert after == before


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999))
def test_the_order_of_the_scans_does_not_matter(seed: int) -> None:
    labels, probabilities = evaluated(seed, hidden=0.3)
    order = np.random.default_rng(seed).permutation(len(labels))
    before, after = scores(labels, probabilities), scores(labels[order], probabilities[order])
    for name in FINDINGS:
        bins = zip(after[name].pop("calibration"), before[name].pop("calibration"), strict=True)
        assert all(one == pytest.approx(other) for one, other in bins)
        for score in ("confusion", "auroc_interval"):
            assert after[name].pop(score) == pytest.approx(before[name].pop(score))
        assert after[name] == pytest.approx(before[name])


def column(*values: float) -> Array:
    """(N, 6), each finding alike."""
    return np.repeat(np.array(values, float)[:, None], 6, axis=1)


def test_the_calibration_error_is_the_gap_of_each_bin_weighted_by_its_scans() -> None:
    found = scores(column(0, 1, 1, 1, 0), column(0.12, 0.18, 0.81, 0.85, 0.89))["any"]
    assert found["ece"] == pytest.approx(2 / 5 * abs(0.15 - 1 / 2) + 3 / 5 * abs(0.85 - 2 / 3))


def test_a_bin_reaches_from_its_lower_edge_to_below_its_upper_one_and_the_last_holds_one() -> None:
    found = scores(column(*[1] * 5, *[0] * 5), column(*[1.0] * 5, *[0.2] * 5))["any"]["calibration"]
    assert [(one["low"], one["high"], one["scans"], one["positives"]) for one in found] == [
        (0, 0.3, 5, 0),
        (0.3, 1, 5, 5),
    ]
    assert [one["mean_probability"] for one in found] == pytest.approx([0.2, 1.0])


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 9999), rows=st.integers(2, 60))
def test_no_reported_bin_holds_fewer_than_five_scans_and_none_is_lost(seed: int, rows: int) -> None:
    labels, probabilities = evaluated(seed, rows)
    for one in scores(labels, probabilities**3).values():
        bins = one["calibration"]
        assert all(each["scans"] >= 5 for each in bins)
        if rows >= 5:
            assert (bins[0]["low"], bins[-1]["high"]) == (0, 1)
            assert [each["high"] for each in bins[:-1]] == [each["low"] for each in bins[1:]]
            assert sum(each["scans"] for each in bins) == rows
            assert sum(each["positives"] for each in bins) == one["positives"]
        else:
            assert bins == []


def test_a_drawn_auroc_is_that_of_scikit_learn_on_scans_drawn_within_each_class() -> None:
    """The interval of 200 multinomial draws against 600 plain ones, ties included."""
    rng = np.random.default_rng(5)
    truth = np.repeat([0, 1], [40, 20])
    guess = np.round(np.clip(rng.normal(0.4 + 0.2 * truth, 0.2), 0, 1), 1)
    plain = []
    for _ in range(600):
        own = np.concatenate([rng.choice(np.flatnonzero(truth == kind), (truth == kind).sum()) for kind in (0, 1)])
        plain.append(roc_auc_score(truth[own], guess[own]))
    found = scores(column(*truth), column(*guess))["any"]["auroc_interval"]
    assert found == pytest.approx(np.quantile(plain, [0.025, 0.975]), abs=0.03)


def test_the_interval_covers_the_true_auroc_about_as_often_as_it_says() -> None:
    """Normal scores one deviation apart: AUROC = Phi(1/sqrt 2) = 0.760; 300 sets of 40 and 40."""
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(50):
        truth = np.repeat([0, 1], 40)
        labels = np.repeat(truth[:, None], 6, axis=1)
        guess = 1 / (1 + np.exp(-(rng.normal(size=(80, 6)) + labels)))
        found = scores(labels.astype(float), guess)
        covered += sum(low <= 0.7602 <= high for low, high in (found[name]["auroc_interval"] for name in FINDINGS))
    assert 0.90 <= covered / 300 <= 0.98


GOOD = np.zeros((2, 6))


@pytest.mark.parametrize(
    ("labels", "probabilities", "words"),
    [
        (np.zeros((2, 5)), GOOD, r"labels have shape \(2, 5\)"),
        (GOOD, np.zeros(6), r"probabilities have shape \(6,\)"),
        (GOOD, np.zeros((3, 6)), "2 rows of labels and 3 of probabilities"),
        (GOOD + 0.5, GOOD, "other than 0, 1 and NaN"),
        (GOOD, GOOD + 1.01, "outside"),
        (GOOD, GOOD - 0.01, "outside"),
        (GOOD, GOOD + np.nan, "or NaN"),
    ],
)
def test_what_is_no_label_or_no_probability_is_refused(labels: Any, probabilities: Any, words: str) -> None:
    with pytest.raises(Refused, match=words):
        scores(labels, probabilities)

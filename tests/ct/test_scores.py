"""Scores equal scikit-learn's, count what is known, and say why a number is missing."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, roc_auc_score

from brainct.ct.scans import FINDINGS
from brainct.ct.scores import scores
from brainct.errors import Refused

Array = NDArray[np.float64]


def judged(seed: int, rows: int = 40, hidden: float = 0.0) -> tuple[Array, Array]:
    """Labels (rows, 6), of which a part is hidden, and probabilities; the first two rows hold both classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=(rows, 6)).astype(float)
    labels[rng.random(labels.shape) < hidden] = np.nan
    labels[0], labels[1] = 0, 1
    return labels, rng.random((rows, 6))


@pytest.mark.parametrize("hidden", [0.0, 0.4])
def test_every_score_is_that_of_scikit_learn_on_the_labelled_scans(hidden: float) -> None:
    labels, probabilities = judged(0, hidden=hidden)
    found = scores(labels, probabilities)
    assert list(found) == list(FINDINGS)
    for column, name in enumerate(FINDINGS):
        known = ~np.isnan(labels[:, column])
        truth, guess = labels[known, column], probabilities[known, column]
        assert found[name]["auroc"] == pytest.approx(roc_auc_score(truth, guess))
        assert found[name]["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, guess >= 0.5))
        assert found[name]["brier"] == pytest.approx(brier_score_loss(truth, guess))
        counts = (truth.sum(), (1 - truth).sum(), (~known).sum())
        assert (found[name]["positives"], found[name]["negatives"], found[name]["unlabelled"]) == counts
        assert found[name]["reason"] is None


def test_a_probability_of_one_half_counts_as_positive() -> None:
    labels, probabilities = judged(0, rows=2)
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
        "brier": None,
        "positives": 0,
        "negatives": 0,
        "unlabelled": rows,
        "reason": "no labelled scan",
    }


def test_scores_are_ready_for_json_without_nan() -> None:
    labels, probabilities = judged(1, hidden=0.3)
    labels[:, 2], labels[:, 4] = np.nan, 0
    found = scores(labels.astype(np.float32), probabilities.astype(np.float32))
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), column=st.integers(0, 5), extra=st.integers(1, 5))
def test_scans_without_a_label_change_nothing_but_their_count(seed: int, column: int, extra: int) -> None:
    labels, probabilities = judged(seed, hidden=0.3)
    before = scores(labels, probabilities)
    more = np.vstack([np.full((extra, 6), np.nan), labels])
    after = scores(more, np.vstack([np.random.default_rng(seed).random((extra, 6)), probabilities]))
    assert after == {name: one | {"unlabelled": one["unlabelled"] + extra} for name, one in before.items()}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), column=st.integers(0, 5))
def test_an_unlabelled_finding_leaves_the_other_findings_as_they_were(seed: int, column: int) -> None:
    labels, probabilities = judged(seed, hidden=0.3)
    before = scores(labels, probabilities)
    labels[:, column], probabilities[:, column] = np.nan, 0.5
    after = scores(labels, probabilities)
    assert after.pop(FINDINGS[column])["reason"] == "no labelled scan"
    before.pop(FINDINGS[column])
    assert after == before


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999))
def test_the_order_of_the_scans_does_not_matter(seed: int) -> None:
    labels, probabilities = judged(seed, hidden=0.3)
    order = np.random.default_rng(seed).permutation(len(labels))
    before, after = scores(labels, probabilities), scores(labels[order], probabilities[order])
    assert all(after[name] == pytest.approx(before[name]) for name in FINDINGS)


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

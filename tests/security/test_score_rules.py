"""Scores and counts leave as the policy says, and what one scan moves is bounded as the noise counts it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainct.ct.metrics import scores
from brainct.ct.workload import CT
from brainct.protocol.reply_schema import scored
from brainct.security.disclosures import check_reply, leaves
from brainct.security.score_rules import ScoreRule, description_as, scores_as

KEYS = CT.score_keys
DETAILS = KEYS.details
NOISED = tuple(name for name, reach in KEYS.numbers.items() if reach)


def reach(name, found):
    return KEYS.numbers[name](found)


def evaluated(scans=24, seed=0, positives=None):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (scans, 6)).astype(float)
    if positives is not None:
        labels[:] = (np.arange(scans) < positives)[:, None]
    return scores(labels, rng.random((scans, 6)))


def none(count):
    return np.zeros(count)


def told(rule, least=1, found=None, normals=none):
    return scores_as(KEYS, ScoreRule(**rule), least, found or evaluated(), normals)


@pytest.mark.parametrize(
    "rule", [{}, {"form": "rounded"}, {"form": "noised", "noise": 2.0}, {"form": "never"}], ids=lambda rule: str(rule)
)
@pytest.mark.parametrize("least", [1, 13])
def test_whatever_the_rule_the_server_can_read_it_and_the_list_has_a_row_for_it(rule, least):
    answer = {"scores": told(rule, least)}
    check_reply(answer)
    assert set(scored(CT, "a", answer, CT.choices())) == set(evaluated())


def test_exact_scores_leave_as_they_are_also_of_a_finding_that_nobody_has():
    assert told({}) == evaluated()
    assert told({}, found=evaluated(positives=0)) == evaluated(positives=0)


def test_rounded_scores_have_two_decimals_and_no_counts_from_which_exact_ones_follow():
    for found, exact in zip(told({"form": "rounded"}).values(), evaluated().values(), strict=True):
        assert found["auroc"] == round(exact["auroc"], 2) != exact["auroc"]
        assert [found[name] for name in DETAILS] == [None] * 3
        assert found["positives"] == exact["positives"]


def test_of_a_class_with_too_few_scans_nothing_is_said():
    found = evaluated(positives=4)
    for one in told({}, 5, found).values():
        assert one["reason"] == "too few scans"
        assert [value for name, value in one.items() if name != "reason"] == [None] * (len(one) - 1)
    assert told({}, 4, found) == found


def test_a_fold_of_one_scan_tells_neither_its_probability_nor_its_label():
    answers = [told({"form": "rounded"}, 5, evaluated(1, seed)) for seed in range(8)]
    assert all(answer == answers[0] for answer in answers)


@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 8))
def test_one_scan_exchanged_for_another_of_its_label_moves_no_score_by_more_than_its_reach(seed, positives, negatives):
    rng = np.random.default_rng(seed)
    labels = np.full((positives + negatives, 6), np.nan)
    labels[:, 5] = np.r_[np.ones(positives), np.zeros(negatives)]
    guess = rng.choice([0.0, 0.25, 0.5, 0.75, 1.0], labels.shape)
    other = guess.copy()
    other[rng.integers(len(guess))] = rng.choice([0.0, 0.5, 1.0], 6)
    one, two = scores(labels, guess)["any"], scores(labels, other)["any"]
    for name in NOISED:
        assert abs(one[name] - two[name]) <= reach(name, one) + 1e-12


def test_noised_scores_have_the_noise_that_is_counted_and_the_same_for_the_same_normals():
    rule, found = {"form": "noised", "noise": 0.05, "digits": 6}, evaluated(400)
    rng = np.random.default_rng(1)
    draws = [told(rule, found=found, normals=lambda count: rng.normal(size=count)) for _ in range(400)]
    gaps = np.array([draw["any"]["auroc"] - found["any"]["auroc"] for draw in draws])
    places = 6 * len(NOISED)
    assert gaps.std() == pytest.approx(0.05 * places**0.5 * reach("auroc", found["any"]), rel=0.15)
    assert ScoreRule(**rule).event.mu == 20.0
    assert all(draws[0]["any"][name] is None for name in (*DETAILS, "ece", "sensitivity_at_90_specificity"))
    same = [told(rule, found=found, normals=lambda count: np.ones(count)) for _ in range(2)]
    assert same[0] == same[1]


def test_counts_below_the_least_are_left_out_and_so_is_what_is_said_of_them():
    positives, negatives = {"any": 4, "subdural": 6, "epidural": 5}, {"any": 7, "subdural": 3, "epidural": 6}
    fold = {"scans": 11, "positives": positives, "negatives": negatives}
    about = {"folds": {"train": fold}, "notes": ["fold train (11 scans) has no positive scan of: epidural"]}
    assert description_as(CT, 1, about, "terms", CT.choices()) == {**about, "notes": [*about["notes"], "terms"]}
    found = description_as(CT, 5, about, "terms", CT.choices())
    kept = {"scans": 11, "positives": {"epidural": 5}, "negatives": {"epidural": 6}}
    assert found == {"folds": {"train": kept}, "notes": ["terms"]}
    assert {place for place, _ in leaves(found)} == {
        "folds/train/scans",
        "folds/train/positives/epidural",
        "folds/train/negatives/epidural",
        "notes/0",
    }


@pytest.mark.parametrize("wrong", [{"form": "noised"}, {"noise": 1.0}, {"form": "rounded", "noise": 1.0}])
def test_noise_without_its_form_and_the_form_without_noise_are_refused(wrong):
    with pytest.raises(ValueError, match="go together"):
        ScoreRule(**wrong)

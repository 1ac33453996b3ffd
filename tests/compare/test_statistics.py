"""Intervals, tests and corrections against known answers; the choice of a grid point looks at validation only."""

import numpy as np
import pytest
from scipy import stats

from brainct.compare.leaderboard import larger_budgets
from brainct.compare.markdown import comparison_tables
from brainct.compare.selection import same_choices, select_rows, winner
from brainct.compare.setting import Setting, gains, score_at_bytes, settings_of
from brainct.compare.statistics import difference_of, differences_to, holm, interval, mean_of, paired_p
from tests.support.rows import row


@pytest.mark.parametrize(("seeds", "least"), [(5, 0.88), (10, 0.92)])
def test_the_bootstrap_interval_covers_the_true_mean_about_as_often_as_it_says(seeds, least):
    """Of 300 sets of normal values; the plain percentile bootstrap covers 0.84 and 0.89."""
    rng = np.random.default_rng(seeds)
    covered = 0
    for _ in range(300):
        low, high = interval(rng.normal(0.8, 0.05, seeds).tolist())
        covered += low <= 0.8 <= high
    assert least <= covered / 300 <= 0.99


def test_an_interval_needs_two_values_and_says_the_same_each_time():
    assert interval([0.8]) is None
    assert interval([0.7, 0.8, 0.9]) == interval([0.7, 0.8, 0.9])
    assert interval([0.8, 0.8]) == (0.8, 0.8)


@pytest.mark.parametrize("count", [5, 10])
def test_the_interval_of_symmetric_values_is_about_as_wide_as_students(count):
    values = stats.norm.ppf((np.arange(count) + 0.5) / count)
    half = stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / np.sqrt(count)
    assert interval(list(values)) == pytest.approx((-half, half), rel=0.1)


def test_without_a_difference_the_paired_test_errs_as_often_as_it_says():
    """1,000 sets of 8 differences around 0: p <= 0.05 in at most 5 %, and, of 2/256 steps, in more than 3 %."""
    rng = np.random.default_rng(3)
    found = np.array([paired_p(rng.normal(0, 1, 8).tolist()) for _ in range(1000)])
    assert 0.03 <= (found <= 0.05).mean() <= 0.07
    assert 0.40 <= (found <= 0.5).mean() <= 0.60


def test_the_paired_p_counts_the_signs_that_give_as_large_a_mean():
    """Of the 16 signs of (1, 2, 3, 4) a mean of 2.5 or more, or of -2.5 or less, has one each; with -1: two each."""
    assert paired_p([1, 2, 3, 4]) == pytest.approx(2 / 16)
    assert paired_p([-1, 2, 3, 4]) == pytest.approx(4 / 16)
    assert paired_p([0.1]) is None


def test_the_pairs_matter_and_not_only_the_means():
    hard = [0.55, 0.65, 0.75, 0.85, 0.95, 0.6, 0.7, 0.8]
    groups = {
        "fedavg": [row(seed=seed, auroc=[value]) for seed, value in enumerate(hard)],
        "fedprox": [row("fedprox", seed, [value + 0.01]) for seed, value in enumerate(hard)],
    }
    gap = differences_to("fedavg", groups)["fedprox"]
    assert (gap.mean, gap.p) == (pytest.approx(0.01), pytest.approx(2 / 256))
    assert gap.interval == pytest.approx((0.01, 0.01))


def test_only_seeds_that_both_have_are_compared():
    groups = {
        "fedavg": [row(seed=seed, auroc=[0.5]) for seed in (1, 2, 3)],
        "fedprox": [row("fedprox", seed, [0.5 + seed / 10]) for seed in (3, 2, 4)],
    }
    gap = differences_to("fedavg", groups)["fedprox"]
    assert (gap.mean, gap.seeds) == (pytest.approx(0.25), 2)


def test_holm_is_that_of_the_worked_example():
    """Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 is 0.02, 0.03, 0.06, 0.04; none may fall: 0.06 for the last."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_keeps_the_chance_of_any_false_claim_among_five_schemes():
    """600 tables of five schemes that are all the baseline: at most 5 % hold a corrected p below 0.05."""
    rng = np.random.default_rng(11)
    wrong = sum(min(holm(rng.random(5).tolist())) <= 0.05 for _ in range(600))
    assert wrong <= 600 * 0.05 + 3 * np.sqrt(600 * 0.05 * 0.95)
    assert wrong >= 10


def test_a_mean_states_its_number_of_seeds():
    found = mean_of([0.7, None, 0.9])
    assert (found.mean, found.seeds) == (pytest.approx(0.8), 2)
    assert found.sd == pytest.approx(np.std([0.7, 0.9], ddof=1))
    assert mean_of([None]) is None


def tuned(mu, seed, valid, test, brier=0.2, **more):
    return row("fedprox", seed, [test], grid={"mu": mu}, valid_score=valid, valid_loss=brier, **more)


def test_a_grid_is_chosen_by_validation_and_never_by_test():
    rows = [tuned(mu, seed, 0.9 - mu, 0.5 + mu) for mu in (0.1, 0.2) for seed in (1, 2)]
    rows += [tuned(0.1, 3, 0.5, 0.4)]
    assert winner(rows[:4]) == {"mu": 0.1}
    found = select_rows(rows)["8x16", 1]["fedprox"]
    assert [(one.seed, one.grid["mu"]) for one in found] == [(1, 0.1), (2, 0.1), (3, 0.1)]


def test_at_equal_validation_auroc_the_lower_brier_score_wins_and_a_point_that_lacks_a_seed_can_not():
    assert winner([tuned(1, 1, 0.8, 0.5, brier=0.3), tuned(2, 1, 0.8, 0.5, brier=0.1)]) == {"mu": 2}
    assert winner([tuned(1, 1, 0.9, 0.5), tuned(2, 1, 0.8, 0.5), tuned(2, 2, 0.8, 0.5)]) == {"mu": 2}
    assert winner([row(valid_score=None)]) is None
    alike = [tuned(1, 1, 0.8, 0.5), tuned(2, 1, 0.8, 0.5)]
    assert winner(alike) == winner(alike[::-1]) == {"mu": 1}, "whatever the order of the rows"


@pytest.mark.parametrize("second", [tuned(2, 1, None, 0.5), tuned(2, 2, 0.8, 0.5)])
def test_while_no_point_of_a_grid_can_be_chosen_the_table_says_so(second):
    """None has a validation score; or they have no seed in common."""
    rows = [tuned(1, 1, None if second.valid_score is None else 0.9, 0.5), second]
    assert select_rows(rows) == {}
    assert "fedprox on 8x16: no point of its grid can be chosen yet" in comparison_tables(rows)


def test_a_larger_budget_is_run_with_the_winner_of_the_smaller():
    rows = [tuned(1, 1, 0.7, 0.5), tuned(2, 1, 0.8, 0.5)]
    rows += [tuned(1, 1, 1.0, 0.6, budget=2), tuned(2, 1, 0.8, 0.6, budget=2)]
    assert [one.grid for one in select_rows(rows)["8x16", 2]["fedprox"]] == [{"mu": 2}]


def test_runs_of_other_choices_under_the_same_name_are_never_averaged():
    old = [row(seed=seed, plan={"rounds": 30, "seed": seed}, key=f"old{seed}") for seed in (1, 2)]
    new = row(seed=1, plan={"rounds": 60, "seed": 1})
    assert same_choices([*old, new]) == [new]
    assert "2 rows left out" in comparison_tables([*old, new])
    assert len(same_choices(old)) == 2


def test_an_older_row_without_a_choice_equals_one_with_its_default():
    rows = [row(seed=1, choices={"scans": 16}), row(seed=2, choices={"scans": 16, "public": None})]
    assert same_choices(rows) == rows
    other = row(seed=3, choices={"scans": 16, "public": 14})
    assert same_choices([*rows, other]) == [other]


def test_failed_runs_are_in_no_mean():
    rows = [row(seed=1), row(seed=2, status="failed", error="no")]
    assert [one.seed for one in select_rows(rows)["8x16", 1]["fedavg"]] == [1]
    assert "2 runs, 1 of them failed" in comparison_tables(rows)


def test_the_score_at_a_budget_of_bytes_is_that_of_the_last_point_within_it():
    assert [score_at_bytes(row(), kib) for kib in (49, 50, 99.9, 100, 500)] == [None, 0.6, 0.6, 0.7, 0.7]


def test_equal_bytes_are_a_quarter_half_and_all_of_what_the_baseline_sends():
    mine = {"fedavg": [row(seed=seed, kib_per_site=200.0) for seed in (1, 2)], "pooled": [row(kib_per_site=None)]}
    budgets, found = Setting("f", 1, mine).equal_bytes
    assert budgets == [50, 100, 200]
    assert [mean.values for mean in found.pop("fedavg")] == [(0.6, 0.6), (0.7, 0.7), (0.7, 0.7)]
    assert not found
    assert Setting("f", 1, {"pooled": mine["pooled"]}).equal_bytes == ([], {})


def test_gains_are_from_each_budget_to_the_next_larger_one():
    settings = [Setting("f", budget, {"fedavg": [row(auroc=[0.6 + budget / 100])]}) for budget in (1, 4, 2)]
    found = {(gain.setting.budget, gain.longer): gain.difference.mean for gain in gains(settings)}
    assert found == {(1, 2): pytest.approx(0.01), (2, 4): pytest.approx(0.02)}


def test_a_scheme_has_converged_when_no_gain_shows_beyond_the_noise():
    seeds = range(1, 7)
    short = [row(seed=seed, auroc=[0.7]) for seed in seeds]
    more = [row(seed=seed, auroc=[0.74 + seed / 100], budget=2) for seed in seeds]
    noise = [row(seed=seed, auroc=[0.7 + (-1) ** seed / 100], budget=2) for seed in seeds]
    assert difference_of(more, short).interval[0] > 0
    assert difference_of(noise, short).interval[0] <= 0
    assert "no: it still gains" in comparison_tables([*short, *more])
    assert "yes: no gain beyond chance" in comparison_tables([*short, *noise])
    assert "unknown: one seed" in comparison_tables([short[0], more[0]])
    assert larger_budgets(settings_of(short)) is None


def test_the_table_sorts_by_auroc_and_leaves_the_baselines_own_difference_empty():
    rows = [row(seed=seed, auroc=[0.6]) for seed in (1, 2)] + [row("feddc", seed, [0.8]) for seed in (1, 2)]
    lines = [line for line in comparison_tables(rows).splitlines() if line.startswith("| `")]
    assert lines[0].startswith("| `feddc` | 2 | 0.800 ± 0.000 [0.800, 0.800] | +0.200 [+0.200, +0.200] | 0.500 |")
    assert lines[1].startswith("| `fedavg` | 2 | 0.600 ± 0.000 [0.600, 0.600] |  |  |")

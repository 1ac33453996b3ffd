"""The attacks against signals whose answer is known: a Gaussian shift, none at all, and labels that copy membership."""

import numpy as np
import pytest
from scipy.special import ndtr

from brainct.leakage.attacks import lira, lira_on_votes, loss_threshold
from brainct.leakage.bounds import auc_of_epsilon, auc_of_gaussian, true_of_epsilon, true_of_gaussian
from brainct.leakage.measures import Pairs, measure_attack, roc_numbers


def drawn(federations=64, scans=40, shift=0.0, seed=0):
    """Confidences that are normal around each scan's own mean, and higher by `shift` where it was trained on."""
    rng = np.random.default_rng(seed)
    members = rng.random((federations, scans)) < 0.5
    return rng.normal(size=(federations, scans)) + 5 * rng.normal(size=scans) + shift * members, members


def auc(scores, members):
    return Pairs(scores, members).curve().auc


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_the_likelihood_ratio_finds_a_known_shift(shift):
    found = [
        auc(lira(signals, members), members) for signals, members in (drawn(shift=shift, seed=s) for s in range(3))
    ]
    assert np.mean(found) == pytest.approx(ndtr(shift / np.sqrt(2)), abs=0.02)


def test_a_threshold_sees_less_where_scans_differ_more_than_membership_does():
    signals, members = drawn(shift=1.0)
    assert auc(loss_threshold(signals), members) < 0.6 < 0.72 < auc(lira(signals, members), members)


def test_a_difference_in_spread_alone_is_found_too():
    rng = np.random.default_rng(1)
    members = rng.random((64, 40)) < 0.5
    signals = rng.normal(size=members.shape) * np.where(members, 0.3, 2.0)
    assert auc(lira(signals, members), members) > 0.8
    assert auc(loss_threshold(signals), members) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("attack", [lambda signals, members: loss_threshold(signals), lira])
def test_without_any_leak_all_numbers_lie_where_chance_puts_them(attack):
    signals, members = drawn(federations=16, scans=56)

    def redraw(at):
        return np.random.default_rng(100 + at).random(members.shape) < 0.5

    found = measure_attack(lambda given: attack(signals, given), members, redraw, resamples=200, draws=200)
    for one in found:
        assert one.chance[0] <= one.value <= one.chance[1]
        assert one.interval[0] <= one.value <= one.interval[1]
        assert one.p > 0.025
    assert found[0].chance[0] < 0.5 < found[0].chance[1]


def test_the_attacked_federation_is_no_shadow_of_its_own():
    signals, members = drawn(federations=8, scans=6, shift=1.0)
    flipped = members.copy()
    flipped[3] = ~flipped[3]
    assert np.array_equal(lira(signals, members)[3], lira(signals, flipped)[3])
    labels = signals > 0
    assert np.array_equal(lira_on_votes(labels, members)[3], lira_on_votes(labels, flipped)[3])
    assert not np.array_equal(lira(signals, members)[0], lira(signals, flipped)[0])


def test_the_ratio_is_that_of_a_plain_loop_over_shadows():
    signals, members = drawn(federations=9, scans=5, shift=1.0)
    found = lira(signals, members)
    for target in range(9):
        others = [at for at in range(9) if at != target]
        laws = []
        for group in (True, False):
            of = [[signals[at, scan] for at in others if members[at, scan] == group] for scan in range(5)]
            squares = sum(np.sum((np.array(each) - np.mean(each)) ** 2) for each in of)
            spread = squares / sum(len(each) - 1 for each in of)
            laws.append([(np.mean(each), spread * (1 + 1 / len(each))) for each in of])
        for scan in range(5):
            (m1, v1), (m0, v0) = laws[0][scan], laws[1][scan]
            x = signals[target, scan]
            planned_federations = -((x - m1) ** 2) / 2 / v1 - np.log(v1) / 2 + (x - m0) ** 2 / 2 / v0 + np.log(v0) / 2
            assert found[target, scan] == pytest.approx(planned_federations)


def test_values_that_were_not_seen_are_in_no_number():
    signals, members = drawn(federations=16, scans=20, shift=2.0)
    signals[:, 5:] = np.nan
    scores = lira(signals, members)
    assert np.isnan(scores[:, 5:]).all()
    assert auc(scores, members) == pytest.approx(auc(scores[:, :5], members[:, :5]))


def test_labels_that_copy_membership_are_read_and_other_labels_are_not():
    rng = np.random.default_rng(0)
    members = rng.random((32, 10)) < 0.5
    telling = np.concatenate([members ^ (rng.random(members.shape) < 0.1), rng.random((32, 20)) < 0.5], axis=1)
    assert auc(lira_on_votes(telling, members), members) > 0.85
    assert auc(lira_on_votes(rng.random((32, 30)) < 0.5, members), members) == pytest.approx(0.5, abs=0.12)


def test_rates_are_counted_and_not_interpolated():
    scores = np.array([[9.0, 8.0, 7.0, 6.0, 5.0, 4.0]])
    members = np.array([[True, False, True, True, False, False]])
    curve = Pairs(scores, members).curve()
    assert curve.auc == pytest.approx(7 / 9)
    assert [curve.true_at(rate) for rate in (0.0, 0.32, 0.34, 1.0)] == pytest.approx([1 / 3, 1 / 3, 1, 1])
    assert roc_numbers(Pairs(np.zeros((1, 6)), members).curve()) == pytest.approx([0.5, 0, 0])


def test_a_scan_that_counts_twice_is_two_scans():
    signals, members = drawn(federations=6, scans=4, shift=1.0)
    twice = Pairs(signals, members).curve(np.ones(6, int), np.array([2, 1, 1, 0]))
    chosen = [0, 0, 1, 2]
    assert twice.auc == pytest.approx(auc(signals[:, chosen], members[:, chosen]))


@pytest.mark.parametrize("mu", [0.5, 1.5])
def test_the_best_attack_on_gaussian_noise_reaches_its_bound(mu):
    rng = np.random.default_rng(0)
    members = rng.random((1, 200_000)) < 0.5
    curve = Pairs(rng.normal(size=members.shape) + mu * members, members).curve()
    assert curve.auc == pytest.approx(auc_of_gaussian(mu), abs=0.005)
    assert curve.true_at(0.05) == pytest.approx(true_of_gaussian(mu, 0.05), abs=0.01)


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 2.0, 8.0])
@pytest.mark.parametrize("delta", [0.0, 0.01])
def test_an_epsilon_bounds_as_the_area_under_its_own_curve(epsilon, delta):
    rates = (np.arange(20_000) + 0.5) / 20_000
    area = np.mean([true_of_epsilon(epsilon, delta, rate) for rate in rates])
    assert auc_of_epsilon(epsilon, delta) == pytest.approx(area, abs=1e-4)
    assert true_of_epsilon(epsilon, delta, 0.01) <= np.exp(epsilon) * 0.01 + delta + 1e-12


def test_randomised_response_attains_its_epsilon():
    """A label kept with probability e^eps / (1 + e^eps) has, as an attack, this true and this false positive rate."""
    flip = 1 / (1 + np.exp(2.0))
    assert true_of_epsilon(2.0, 0.0, flip) == pytest.approx(1 - flip)

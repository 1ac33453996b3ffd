"""Epsilon of a site's releases: against closed forms, an own numerical composition, and published values."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq
from scipy.signal import fftconvolve

from brainct.core.privacy_event import KINDS, Event
from brainct.errors import Refused
from brainct.security.accounting import COARSEST, POINTS, UNITS, as_row, epsilon, of_row

EVENTS = (
    Event("update", mu=0.5),
    Event("training", noise=2.0, sampling=0.25, steps=30),
    Event("labels", epsilon=1.5),
    Event("scores", mu=0.25),
)


def training(noise, sampling, steps):
    return Event("training", noise=noise, sampling=sampling, steps=steps)


def by_hand(noise, sampling, steps, delta, neighbours="replace"):
    """Epsilon of sampled Gaussian steps, by integrating the privacy loss of one step and convolving its density.

    One patient is exchanged for another, whose gradient points the other way: q N(-1, z^2) + (1 - q) N(0, z^2) against
    its mirror image. `remove`: the patient is left out, against N(0, z^2).
    """
    span, points = 40.0, 1 << 20
    x = np.linspace(-12 * noise - 1, 12 * noise + 1, points + 1)
    middle = (x[1:] + x[:-1]) / 2

    def log_density(sign):
        here, there = stats.norm.logpdf(middle, 0, noise), stats.norm.logpdf(middle, sign, noise)
        return np.logaddexp(np.log1p(-sampling) + here, math.log(sampling) + there)

    upper = log_density(-1)
    lower = log_density(1) if neighbours == "replace" else stats.norm.logpdf(middle, 0, noise)
    mass = np.exp(upper) * np.diff(x)
    bins = np.linspace(-span, span, (1 << 17) + 1)
    one, _ = np.histogram(upper - lower, bins, weights=mass)
    total, power = np.array([1.0]), steps
    while power:
        if power % 2:
            total = fftconvolve(total, one)
        one, power = fftconvolve(one, one), power // 2
    gap = bins[1] - bins[0]
    losses = -span * steps + gap * (np.arange(len(total)) + steps / 2)

    def above(eps):
        return float(np.sum(np.maximum(total, 0) * -np.expm1(np.minimum(eps - losses, 0))))

    return brentq(lambda eps: above(eps) - delta, 0, span)


@pytest.mark.parametrize("mu", [0.1, 1.0, 5.477])
def test_epsilon_of_gaussian_events_is_that_of_the_closed_form(mu):
    """Balle, Wang, ICML 2018, Theorem 8: delta as a function of epsilon, solved here on its own."""

    def delta(eps):
        return stats.norm.cdf(mu / 2 - eps / mu) - math.exp(eps) * stats.norm.cdf(-mu / 2 - eps / mu)

    wanted = brentq(lambda eps: delta(eps) - 1e-5, 1e-6, 100)
    assert epsilon([Event("update", mu=mu)], 1e-5) == pytest.approx(wanted, rel=1e-4)
    halves = [Event("update", mu=mu / math.sqrt(2)), Event("scores", mu=mu / math.sqrt(2))]
    assert epsilon(halves, 1e-5) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(("mu", "steps"), [(0.1, 1), (1.0, 4), (5.0, 9)])
def test_training_on_all_patients_is_a_gaussian_mechanism_to_four_digits(mu, steps):
    """Without sampling two sums are 2 C apart: mu = 2 / z a step, and sqrt(steps) times that together."""
    noise = 2 * math.sqrt(steps) / mu
    assert epsilon([training(noise, 1.0, steps)], 1e-5) == pytest.approx(
        epsilon([Event("update", mu=mu)], 1e-5), rel=1e-4
    )


@pytest.mark.parametrize(("noise", "sampling", "steps"), [(1.0, 0.2, 1), (1.5, 0.1, 5), (3.0, 0.3, 12)])
def test_training_is_what_an_own_composition_of_the_privacy_loss_gives(noise, sampling, steps):
    found = epsilon([training(noise, sampling, steps)], 1e-5)
    assert found == pytest.approx(by_hand(noise, sampling, steps, 1e-5), rel=2e-3)
    assert found > by_hand(noise, sampling, steps, 1e-5, "remove")


@pytest.mark.parametrize(("noise", "rdp"), [(2, 10.389), (4, 4.3058), (8, 1.9390)])
def test_exchanging_a_patient_costs_about_twice_what_leaving_one_out_does(noise, rdp):
    """60 patients, batches of 8, 720 steps. rdp: what dp-accounting's Renyi accountant says of leaving one out."""
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
    from dp_accounting.pld import PLDAccountant
    from dp_accounting.rdp import RdpAccountant

    step = PoissonSampledDpEvent(8 / 60, GaussianDpEvent(noise))
    left_out, coarse = PLDAccountant().compose(step, 720), RdpAccountant().compose(step, 720)
    assert coarse.get_epsilon(1e-5) == pytest.approx(rdp, rel=1e-4)
    exchanged = epsilon([training(noise, 8 / 60, 720)], 1e-5)
    assert 0.85 * rdp < left_out.get_epsilon(1e-5) < rdp < exchanged
    assert 2 < exchanged / left_out.get_epsilon(1e-5) < 2.3


def test_the_moments_accountants_value_of_the_paper_is_an_upper_bound_of_leaving_one_out():
    """Abadi et al., section 3.2: q 0.01, sigma 4, 10,000 steps, delta 1e-5: epsilon 1.26, and no sampling far more."""
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
    from dp_accounting.pld import PLDAccountant

    alone = PLDAccountant().compose(PoissonSampledDpEvent(0.01, GaussianDpEvent(4)), 10_000).get_epsilon(1e-5)
    found = epsilon([training(4, 0.01, 10_000)], 1e-5)
    assert 0.9 < alone < 1.26
    assert 2 * 0.9 < found < 2 * 1.26 < epsilon([training(4, 1.0, 10_000)], 1e-5) / 10


def test_kinds_add_up_and_nothing_costs_nothing():
    update, steps, labels, scores = EVENTS
    assert epsilon([], 1e-5) == 0
    assert epsilon([labels, labels], 1e-5) == 3
    both = epsilon([update, steps], 1e-5)
    assert max(epsilon([update], 1e-5), epsilon([steps], 1e-5)) < both
    assert both < epsilon([update], 0.5e-5) + epsilon([steps], 0.5e-5)  # what adding epsilons and deltas would give
    assert epsilon([update, steps, labels], 1e-5) == pytest.approx(both + 1.5)
    assert epsilon(EVENTS[::-1], 1e-5) == epsilon(EVENTS, 1e-5) > both + 1.5
    assert epsilon([training(2.0, 0.25, 10)] * 3, 1e-5) == epsilon([steps], 1e-5)


def test_noise_next_to_none_is_counted_as_no_promise_and_not_as_an_error():
    edge = 2 * math.sqrt(2 * POINTS * COARSEST)  # where the sum of mu^2 takes the coarsest steps
    found = [epsilon([training(2 * factor / edge, 0.5, 1)], 1e-5) for factor in (4.0, 2.0, 1.05, 0.95, 0.01)]
    assert found == sorted(found)
    assert 1e3 < found[0] < found[-1] < math.inf


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_a_row_says_the_event_and_nothing_else(event):
    row = as_row(event)
    assert of_row({**row, "run": "a", "round": 3, "day": "2026-01-01"}) == event
    assert 0 not in row.values()
    assert {each.kind for each in EVENTS} == set(KINDS) == set(UNITS)


def test_rows_of_version_0_1_0_are_updates():
    assert of_row({"run": "a", "round": 0, "day": "2026-01-01", "loss": 0.04}) == Event("update", mu=0.2)


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"kind": "gossip"}, "kind is 'gossip'; wanted one of update"),
        ({"kind": "update"}, "update: mu is 0; wanted more than 0"),
        ({"kind": "update", "mu": math.nan}, "mu is nan; wanted a number"),
        ({"kind": "update", "mu": True}, "mu is True; wanted a number"),
        ({"kind": "labels", "epsilon": -1.0}, "labels: epsilon is -1; wanted more than 0"),
        ({"kind": "scores", "mu": 1.0, "steps": 3}, "scores: steps is 3; it has no such number"),
        (
            {"kind": "training", "noise": 1.0, "sampling": 1.5, "steps": 3},
            "sampling is 1.5 and steps 3; wanted at most",
        ),
        ({"kind": "training", "noise": 1.0, "sampling": 0.5, "steps": 1.5}, "whole steps"),
        ({"kind": "training", "noise": 0.0, "sampling": 0.5, "steps": 1}, "noise is 0; wanted more than 0"),
    ],
)
def test_an_event_that_would_be_counted_wrongly_is_refused(numbers, said):
    with pytest.raises(Refused, match=said.replace("(", r"\(")):
        Event(**numbers)


@pytest.mark.parametrize("row", [{}, {"loss": "x"}, {"loss": -1.0}, {"kind": "update"}, {"kind": "none"}, {"kind": []}])
def test_a_row_that_can_not_be_counted_is_refused(row):
    with pytest.raises(Refused, match="restore it from a backup"):
        of_row(row)

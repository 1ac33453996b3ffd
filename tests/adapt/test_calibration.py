"""Temperature and threshold: what a grid search finds, and nothing from too few scans."""

import numpy as np
import pytest

from brainct.adapt.calibration import FEWEST, calibrated, sigmoid, temperature, threshold
from brainct.ct.metrics import scores


def overconfident(count=400, factor=4.0, seed=0):
    """Logits that are `factor` times too large, and labels drawn from the right probabilities."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, count)
    return factor * logits, (rng.random(count) < sigmoid(logits)).astype(float)


def test_the_temperature_undoes_overconfidence_and_lowers_the_calibration_error():
    logits, labels = overconfident()
    found = calibrated(logits, labels)
    assert found.temperature == pytest.approx(4.0, rel=0.25)
    fresh, truth = overconfident(seed=1)
    errors = [
        scores(truth[:, None], sigmoid(fresh / t)[:, None], ["any"])["any"]["ece"] for t in (1, found.temperature)
    ]
    assert errors[1] < errors[0] / 2


def test_it_is_the_best_of_a_fine_grid_by_the_stated_loss():
    logits, labels = overconfident(60, 2.0)
    n, m = labels.sum(), (1 - labels).sum()
    targets = np.where(labels > 0, (n + 1) / (n + 2), 1 / (m + 2))
    grid = np.exp(np.linspace(-2, 2, 20001))
    p = sigmoid(logits[None] / grid[:, None]).clip(1e-15, 1 - 1e-15)
    loss = -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).mean(1)
    assert temperature(logits, labels) == pytest.approx(grid[loss.argmin()], rel=1e-3)


def test_a_separable_fold_gives_no_certainty():
    labels = np.repeat([0.0, 1.0], 6)
    found = calibrated(np.where(labels > 0, 1.0, -1.0), labels)
    assert sigmoid(np.array([1.0 / found.temperature]))[0] == pytest.approx(7 / 8, abs=0.01)


def test_the_threshold_has_the_largest_sum_of_sensitivity_and_specificity():
    labels, p = np.array([0, 0, 0, 1, 0, 1, 1, 1.0]), np.array([0.1, 0.2, 0.3, 0.35, 0.4, 0.6, 0.7, 0.9])
    found = threshold(p, labels)
    assert 0.3 < found < 0.35 or 0.4 < found < 0.6
    sums = {t: ((p >= t) & (labels == 1)).sum() / 4 + ((p < t) & (labels == 0)).sum() / 4 for t in [*p, found]}
    assert sums[found] == max(sums.values())


@pytest.mark.parametrize(
    ("labels", "reason"),
    [(np.ones(FEWEST - 1), "fewer than 10"), (np.ones(FEWEST), "of one class"), (np.full(30, np.nan), "0 labelled")],
)
def test_too_little_leaves_the_model_as_it_is(labels, reason):
    found = calibrated(np.linspace(-1, 1, len(labels)), labels)
    assert (found.temperature, found.threshold) == (1.0, 0.5)
    assert reason in found.reason

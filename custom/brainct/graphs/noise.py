"""The moments of clipped rows with Gaussian noise: a provable epsilon, of which graphs/environments may use the result.

Dwork, Roth: The Algorithmic Foundations of Differential Privacy, 2014, appendix A: one Gaussian mechanism on mean and
second moments together.
"""

import math

import numpy as np

from brainct.graphs.moments import Floats, Moments, moments_of

DELTA = 1e-5
FACTOR = math.sqrt(2 * math.log(1.25 / DELTA))
"""sigma = FACTOR Delta / epsilon is (epsilon, 1e-5)-differentially private, for epsilon up to 1."""


def clipped(rows: Floats) -> Floats:
    """(n, p) rows, centred and scaled by public numbers, none longer than R = 1.5 sqrt(p)."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows * np.minimum(1.0, radius(rows.shape[1]) / np.maximum(length, 1e-300)))


def radius(p: int) -> float:
    """R."""
    return 1.5 * math.sqrt(p)


def sensitivity(n: int, p: int) -> float:
    """How far mean (2R/n) and second moments (sqrt(2) R^2/n, Frobenius) move together if one row is replaced."""
    r = radius(p)
    return math.hypot(math.sqrt(2) * r * r / n, 2 * r / n)


def deviation(n: int, p: int, epsilon: float) -> float:
    """The noise's standard deviation of each entry."""
    return FACTOR * sensitivity(n, p) / epsilon


def noised(rows: Floats, epsilon: float, normal: Floats) -> Moments:
    """Moments of clipped rows with noise, made positive definite; normal: (p (p + 3) / 2,) standard normal numbers."""
    kept = clipped(rows)
    n, p = kept.shape
    exact, sigma = moments_of(kept), deviation(n, p, epsilon)
    upper, symmetric = np.triu_indices(p), np.zeros((p, p))
    symmetric[upper] = normal[p:]
    # an entry off the diagonal is in the Frobenius norm twice, so that its one draw needs no more noise than any other
    symmetric = np.triu(symmetric) + np.triu(symmetric, 1).T
    mean = exact.mean + sigma * normal[:p]
    second = exact.covariance + np.outer(exact.mean, exact.mean) + sigma * symmetric
    values, vectors = np.linalg.eigh(second - np.outer(mean, mean))
    positive = (vectors * np.maximum(values, 1e-3)) @ vectors.T
    return Moments(float(n), mean, (positive + positive.T) / 2)


def price(n: int, p: int, epsilon: float) -> str:
    """What the noise does, in words."""
    sigma = deviation(n, p, epsilon)
    useless = "; below about 2,000 rows a site that hides most of what there is to find" if n < 2000 else ""
    return f"epsilon {epsilon:g}, delta {DELTA:g}: noise of {sigma:.2g} on each moment of {n} rows{useless}"

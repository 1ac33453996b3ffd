"""Populations without sampling: weights, exact covariances, the sites of CAUSAL's tables."""

import numpy as np

from brainct.graphs.cpdag import completed
from brainct.graphs.moments import Moments, bic, moments_of

LARGE = 10**6


def weights(p, rng, degree=2.0, low=0.5, high=1.2):
    """(p, p) of a random DAG, its order shuffled."""
    upper = np.triu(rng.random((p, p)) < degree / (p - 1), 1)
    drawn = upper * rng.uniform(low, high, (p, p)) * rng.choice([-1, 1], (p, p))
    order = rng.permutation(p)
    return drawn[np.ix_(order, order)]


def population(w, noise=None, n=LARGE):
    """Moments of a linear Gaussian model: (I - W)^-T D (I - W)^-1."""
    p = len(w)
    d = np.eye(p) if noise is None else np.diag(noise)
    inverse = np.linalg.inv(np.eye(p) - w)
    return Moments(n, np.zeros(p), inverse.T @ d @ inverse)


def drawn(w, n, rng, noise=None):
    """(n, p) rows of the same."""
    scale = np.ones(len(w)) if noise is None else np.sqrt(noise)
    return (rng.standard_normal((n, len(w))) * scale) @ np.linalg.inv(np.eye(len(w)) - w)


def sampled(w, n, rng, noise=None):
    return moments_of(drawn(w, n, rng, noise))


def truth(w):
    return completed((w != 0).astype(np.int8))


def summed(sites):
    return lambda families: {one: sum(bic(site, one) for site in sites) for one in families}

"""Gaussian scores of families from a site's moments: BIC as `ges` and causal-learn have it, and coefficients.

A family (i, pa) is a variable with a set of parents, written as a tuple (i, *pa).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Family = tuple[int, ...]
FLOOR = 1e-10
"""The least residual variance, as a share of the variable's own: below it two columns are the same one."""


@dataclass(frozen=True)
class Moments:
    """n rows, (p,) mean, (p, p) covariance around it with divisor n."""

    n: float
    mean: Floats
    covariance: Floats

    @property
    def variables(self) -> int:
        """p."""
        return len(self.mean)

    @property
    def constant(self) -> NDArray[np.bool_]:
        """(p,) whether a column does not vary at this site."""
        return np.diag(self.covariance) <= 1e-12 * np.maximum(1.0, self.mean**2)


def moments_of(rows: Floats) -> Moments:
    """Of (n, p) rows without missing values."""
    mean = rows.mean(0)
    centred = rows - mean
    return Moments(float(len(rows)), mean, centred.T @ centred / len(rows))


def pooled(sites: Sequence[Moments], offsets: bool = False) -> Moments:
    """The moments of all rows together, each site centred on its own mean; offsets: around the common mean instead."""
    total = math.fsum(one.n for one in sites)
    mean = np.sum([one.n * one.mean for one in sites], axis=0) / total
    shift = [np.outer(one.mean - mean, one.mean - mean) * offsets for one in sites]
    covariance = np.sum([one.n * (one.covariance + each) for one, each in zip(sites, shift, strict=True)], axis=0)
    return Moments(total, mean, covariance / total)


def regression(covariance: Floats, family: Family) -> tuple[Floats, float]:
    """(|pa|,) coefficients and the residual variance, at least FLOOR of the variable's own; constant parents get 0."""
    child, parents = family[0], list(family[1:])
    own = float(covariance[child, child])
    scale = np.sqrt(np.diag(covariance)[parents])
    used = scale > 1e-12 * max(1.0, float(scale.max(initial=0.0)))
    beta = np.zeros(len(parents))
    kept, width = [one for one, there in zip(parents, used, strict=True) if there], scale[used]
    if not kept:
        return beta, own
    right = covariance[kept, child] / width
    inner = covariance[np.ix_(kept, kept)] / np.outer(width, width)
    try:
        found = np.linalg.solve(inner, right)
    except np.linalg.LinAlgError:
        found = np.linalg.lstsq(inner, right, rcond=None)[0]
    beta[used] = found / width
    return beta, max(own - float(right @ found), FLOOR * own)


def likelihood(n: float, variance: float) -> float:
    """-n/2 (1 + log s2), the largest log-likelihood of a Gaussian residual without its constant."""
    return -0.5 * n * (1.0 + math.log(variance))


def bic(moments: Moments, family: Family) -> float:
    """L(i | pa) = -n/2 (1 + log s2) - 1/2 log(n) (|pa| + 1), in nats; higher is better."""
    _, variance = regression(moments.covariance, family)
    return likelihood(moments.n, variance) - 0.5 * math.log(moments.n) * len(family)


def regrets(moments: Moments, families: Iterable[Family], base: Floats | None = None) -> Floats:
    """L(i | pa) - base_i for each family, by default over the empty set; 0 for a variable that is constant here."""
    constant = moments.constant
    first = np.array([0.0 if constant[i] else bic(moments, (i,)) for i in range(moments.variables)])
    base = first if base is None else base
    return np.array([0.0 if constant[one[0]] else bic(moments, one) - base[one[0]] for one in families])

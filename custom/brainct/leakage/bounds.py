"""The bounds of differential privacy for any attacker: the largest AUC and true positive rate that it allows.

Dong, Roth, Su: Gaussian Differential Privacy, JRSS B 2022 (exact for noised updates); Kairouz, Oh, Viswanath: The
Composition Theorem for Differential Privacy, ICML 2015 (the region of errors of an (epsilon, delta) promise).
"""

import math

from scipy.special import ndtr, ndtri


def auc_of_gaussian(mu: float) -> float:
    """Phi(mu / sqrt 2): the largest AUC of any attack on mu-GDP releases."""
    return float(ndtr(mu / math.sqrt(2)))


def true_of_gaussian(mu: float, rate: float) -> float:
    """Phi(Phi^-1(rate) + mu): the largest true positive rate at this false positive rate, in (0, 1), under mu-GDP."""
    return float(ndtr(ndtri(rate) + mu))


def true_of_epsilon(epsilon: float, delta: float, rate: float) -> float:
    """The largest true positive rate at this false positive rate, in [0, 1], under (epsilon, delta)-DP."""
    bounds = (math.exp(min(epsilon, 700.0)) * rate + delta, 1 - math.exp(-epsilon) * (1 - delta - rate), 1.0)
    return max(0.0, min(bounds))


def auc_of_epsilon(epsilon: float, delta: float = 0.0) -> float:
    """The largest AUC under (epsilon, delta)-DP: the area under `true_of_epsilon`, in closed form.

    Its corner is at false positive rate a = (1 - delta) / (1 + e^epsilon): from (0, delta) to (a, 1 - a) with slope
    e^epsilon, then to (1 - delta, 1) with slope e^-epsilon.
    """
    corner = (1 - delta) / (1 + math.exp(min(epsilon, 700.0)))
    return corner * (delta + 1 - corner) / 2 + (1 - delta - corner) * (2 - corner) / 2 + delta

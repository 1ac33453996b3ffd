"""Coordinate-wise trimmed mean.

Yin, Chen, Ramchandran, Bartlett: Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates, ICML 2018,
Algorithm 1, option II, here on models instead of gradients.
"""

from dataclasses import replace

from brainct.core import robust as r
from brainct.core.arguments import CountOrZero
from brainct.core.scheme import Scheme, registered
from brainct.schemes._robust import ROBUST, robust

ABOUT = replace(
    ROBUST,
    paper="Yin, Chen, Ramchandran, Bartlett, ICML 2018, Algorithm 1, option II",
    summary="The new model is, weight by weight, the mean of the sites' models without the most extreme values.",
    when="a small known number of sites may be Byzantine, and the models of all other sites should count",
)


@registered(ABOUT)
def trimmed_mean(trim: CountOrZero = 1) -> Scheme:
    """w <- in each coordinate the mean of the sites' values without the `trim` smallest and the `trim` largest.

    trim: b values cut off each side, >= 0; 0 is the mean; the paper's beta is b/m; tolerates b Byzantine sites and
    needs m >= 2b + 1 sites in every round, as it never trims less than b.

    Each coordinate lies between the honest sites' least and largest. All sites count the same. Peak memory without the
    reports: the model, and 3m of its largest tensor in float64.
    """
    least = 2 * trim + 1
    return robust("trimmed_mean", lambda models, memory, round: r.trimmed_mean(models, trim), least)

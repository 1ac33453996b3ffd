"""Coordinate-wise median.

Yin, Chen, Ramchandran, Bartlett: Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates, ICML 2018,
Algorithm 1, option I, here on models instead of gradients.
"""

from dataclasses import replace

from brainct.core.arguments import CountOrZero
from brainct.core.robust import coordinate_median
from brainct.core.scheme import Scheme, registered
from brainct.schemes._robust import ROBUST, robust

ABOUT = replace(
    ROBUST,
    paper="Yin, Chen, Ramchandran, Bartlett, ICML 2018, Algorithm 1, option I",
    summary="The new model is, weight by weight, the median of the sites' models.",
    when="fewer than half of the sites may be Byzantine, that is send anything at all, by fault or by malice",
)


@registered(ABOUT)
def median(liars: CountOrZero = 1) -> Scheme:
    """w <- the median of the sites' models in each coordinate; of an even number the mean of the middle two.

    liars: f >= 0, the number of Byzantine sites, which may send anything; needs m >= 2f + 1 sites in every round.

    Each coordinate lies between the honest sites' least and largest. A site whose patients differ looks like a
    Byzantine site, and its models are outvoted too. All sites count the same. Peak memory without the reports: the
    model, and 3m of its largest tensor in float64.
    """
    least = 2 * liars + 1
    return robust("median", lambda models, memory, round: coordinate_median(models), least)

"""Coordinate-wise trimmed mean.

Yin, Chen, Ramchandran, Bartlett: Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates, ICML 2018,
Algorithm 1, option II, here on models instead of gradients.
"""

from brainct.core import robust as r
from brainct.core.scheme import About, Scheme, registered
from brainct.schemes._ranges import whole
from brainct.schemes.median import KEEPS, LOST, PRIVACY, SENDS, SINGLE, robust

ABOUT = {
    "trimmed_mean": About(
        paper="Yin, Chen, Ramchandran, Bartlett, ICML 2018, Algorithm 1, option II",
        family="robust",
        sends=SENDS,
        keeps=KEEPS,
        lost=LOST,
        use="a known small number of sites may send anything, and the others' models should all count",
        privacy=PRIVACY,
        no_secure_aggregation=SINGLE,
        no_noise="",
    )
}


@registered
def trimmed_mean(trim: int = 1) -> Scheme:
    """w <- in each coordinate the mean of the sites' values without the `trim` smallest and the `trim` largest.

    trim: b values cut off each side, >= 0; 0 is the mean. The paper's beta is b/m. Survives b liars; needs m >= 2b + 1
    sites in every round: it never trims less than it says. Then each coordinate lies between the honest sites' least
    and largest. All sites count the same. A site keeps nothing; a lost site is left out. Peak memory: beside the
    reports the model, and 3m of its largest tensor in float64. No secure aggregation.
    """
    least = 2 * whole("trimmed_mean: trim", trim, 0) + 1
    return robust("trimmed_mean", lambda models, memory, round: r.trimmed_mean(models, trim), least)

"""Robust federated averaging: the geometric median of the sites' models.

Pillutla, Kakade, Harchaoui: Robust Aggregation for Federated Learning, IEEE Transactions on Signal Processing 2022,
with Weiszfeld's algorithm (1937), smoothed; at the server alone, without the paper's secure sums.
"""

from brainct.core import robust as r
from brainct.core.scheme import About, Scheme, registered
from brainct.schemes._ranges import whole
from brainct.schemes.median import KEEPS, LOST, PRIVACY, SENDS, SINGLE, robust

ABOUT = {
    "geometric_median": About(
        paper="Pillutla, Kakade, Harchaoui, IEEE TSP 2022",
        family="robust",
        sends=SENDS,
        keeps=KEEPS,
        lost=LOST,
        use="fewer than half of the sites may send anything, and the result should not depend on single coordinates",
        privacy=PRIVACY + " here (Weiszfeld's sums could be made secure with one exchange a step)",
        no_secure_aggregation=SINGLE,
        no_noise="",
    )
}


@registered
def geometric_median(liars: int = 1, iterations: int = 200) -> Scheme:
    """w <- the point with the least sum of distances to the sites' models.

    liars: f >= 0, sites that may send anything; needs m >= 2f + 1 sites in every round. Then |w - c| is at most
    2/(m - 2f) times the honest models' summed distances from c, for any c. iterations: the most Weiszfeld steps, >= 1;
    see `robust.geometric_median` for smoothing and tolerance. All sites count the same. Layers of many large numbers
    rule the distance. A site keeps nothing; a lost site is left out. Peak memory: beside the reports 2(m + 3) models.
    """
    least = 2 * whole("geometric_median: liars", liars, 0) + 1
    whole("geometric_median: iterations", iterations, 1)
    return robust(
        "geometric_median", lambda models, memory, round: r.geometric_median(models, iterations=iterations), least
    )

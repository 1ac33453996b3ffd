"""Robust federated averaging: the geometric median of the sites' models.

Pillutla, Kakade, Harchaoui: Robust Aggregation for Federated Learning, IEEE Transactions on Signal Processing 2022,
with Weiszfeld's algorithm (1937), smoothed; at the server alone, without the paper's secure sums.
"""

from dataclasses import replace

from brainct.core import robust as r
from brainct.core.arguments import Count, CountOrZero
from brainct.core.scheme import Scheme, registered
from brainct.schemes._robust import ROBUST, SINGLE, robust

ABOUT = replace(
    ROBUST,
    paper="Pillutla, Kakade, Harchaoui, IEEE TSP 2022",
    summary="The new model is the point with the least sum of distances to the sites' models.",
    when="fewer than half of the sites may be Byzantine, and the result should not depend on single weights",
    privacy=f"{SINGLE}: no secure aggregation here (Weiszfeld's sums could be made secure with one exchange a step)",
)


@registered(ABOUT)
def geometric_median(liars: CountOrZero = 1, iterations: Count = 200) -> Scheme:
    """w <- the point with the least sum of distances to the sites' models.

    liars: f >= 0, the number of Byzantine sites, which may send anything; needs m >= 2f + 1 sites in every round.
    iterations: the most Weiszfeld steps, >= 1; see `robust.geometric_median` for smoothing and tolerance.

    |w - c| is at most 2/(m - 2f) times the honest models' summed distances from c, for any c. All sites count the same.
    Layers of many large numbers dominate the distance. Peak memory without the reports: 2(m + 3) models.
    """
    least = 2 * liars + 1
    return robust(
        "geometric_median", lambda models, memory, round: r.geometric_median(models, iterations=iterations), least
    )

"""Clipping: no site moves the model further than a radius, whatever it sends.

Centered clipping: Karimireddy, He, Jaggi: Learning from History for Byzantine Robust Optimization, ICML 2021, on
momentum there, on models here. Norm clipping: Sun, Kairouz, Suresh, McMahan: Can You Really Backdoor Federated
Learning?, FL workshop at NeurIPS 2019, without its noise: centered clipping of one iteration.
"""

from dataclasses import replace

from brainct.core import robust as r
from brainct.core.arguments import Count, CountOrZero, Positive
from brainct.core.scheme import Scheme, registered
from brainct.schemes._robust import ROBUST, SINGLE, robust

CENTERED = replace(
    ROBUST,
    paper="Karimireddy, He, Jaggi, ICML 2021",
    summary="The server shortens each site's change to a radius before it averages, several times over.",
    when="some sites may be faulty, and no honest site should ever be left out",
    privacy=f"{SINGLE}: no secure aggregation here (with a fixed tau a site could clip itself, if it were trusted)",
)
NORM = replace(
    CENTERED,
    paper="Sun, Kairouz, Suresh, McMahan, FL workshop at NeurIPS 2019",
    summary="The server shortens each site's change to a length limit before it averages.",
    when="a site's training may now and then diverge, or one site moves the mean more than all others",
)


@registered(CENTERED)
def centered_clipping(tau: Positive | None = None, iterations: Count = 3, liars: CountOrZero = 1) -> Scheme:
    """v <- v + 1/m sum (w_i - v) min(1, tau / |w_i - v|), `iterations` times from the previous model; w <- v.

    tau: radius, > 0, in units of the models' distance; null for the median of |w_i - v| in each iteration.
    iterations: L >= 1.
    liars: f >= 0, the number of Byzantine sites, for a tau of null: needs m >= 2f + 1 sites in every round, so that the
    radius is at most an honest site's distance; with a given tau any number of sites is allowed.

    With a given tau, in one iteration f Byzantine sites move the result by at most f tau / m, and w is at most L tau
    from the previous model. The clipped mean lags: honest sites are clipped too. All sites count the same. Peak memory
    without the reports: 2(m + 3) models.
    """
    return _clipping("centered_clipping", tau, iterations, liars)


@registered(NORM)
def norm_clipping(bound: Positive | None = None, liars: CountOrZero = 1) -> Scheme:
    """w <- w + 1/m sum (w_i - w) min(1, bound / |w_i - w|): `centered_clipping` of one iteration.

    bound: M > 0, the longest change of a site; null for the median of the sites' changes.
    liars: f >= 0, for a bound of null, as in `centered_clipping`.

    f Byzantine sites move w by at most f M / m in a round.
    """
    return _clipping("norm_clipping", bound, 1, liars)


def _clipping(whose: str, tau: float | None, iterations: int, liars: int) -> Scheme:
    least = 2 * liars + 1 if tau is None else 1
    return robust(
        whose,
        lambda models, memory, round: r.centered_clipping(models, memory["weights"], tau, iterations),
        least,
    )

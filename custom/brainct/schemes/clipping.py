"""Clipping: no site moves the model further than a radius, however far off what it sends.

Centered clipping: Karimireddy, He, Jaggi: Learning from History for Byzantine Robust Optimization, ICML 2021, on
momentum there, on models here. Norm clipping: Sun, Kairouz, Suresh, McMahan: Can You Really Backdoor Federated
Learning?, FL workshop at NeurIPS 2019, without its noise: centered clipping of one iteration.
"""

from dataclasses import replace

from brainct.core import robust as r
from brainct.core.scheme import About, Scheme, registered
from brainct.schemes._ranges import number, whole
from brainct.schemes.median import KEEPS, LOST, PRIVACY, SENDS, SINGLE, robust

_CENTERED = About(
    paper="Karimireddy, He, Jaggi, ICML 2021",
    family="robust",
    sends=SENDS,
    keeps=KEEPS,
    lost=LOST,
    use="some sites may be faulty, and no honest site should ever be left out",
    privacy=PRIVACY + " here (with a fixed tau a site could clip itself, if it were believed)",
    no_secure_aggregation=SINGLE,
    no_noise="",
)
ABOUT = {
    "centered_clipping": _CENTERED,
    "norm_clipping": replace(
        _CENTERED,
        paper="Sun, Kairouz, Suresh, McMahan, FL workshop at NeurIPS 2019",
        use="a site's training may now and then blow up, or one site moves the mean more than all others",
    ),
}


@registered
def centered_clipping(tau: float | None = None, iterations: int = 3, liars: int = 1) -> Scheme:
    """v <- v + 1/m sum (w_i - v) min(1, tau / |w_i - v|), `iterations` times from the previous model; w <- v.

    tau: radius, > 0, in units of the models' distance; null for the median of |w_i - v| in each iteration. iterations:
    L >= 1. liars: f >= 0, for a tau of null: needs m >= 2f + 1 sites in every round, so that the radius is at most an
    honest site's distance. With a given tau any number of sites will do: in one iteration f liars move the result by at
    most f tau / m, and w is at most L tau from the previous model. The clipped mean lags: honest sites are clipped too.
    All sites count the same. A site keeps nothing; a lost site is left out. Peak memory: beside the reports 2(m + 3)
    models. No secure aggregation.
    """
    return _clipping("centered_clipping", "tau", tau, iterations, liars)


@registered
def norm_clipping(bound: float | None = None, liars: int = 1) -> Scheme:
    """w <- w + 1/m sum (w_i - w) min(1, bound / |w_i - w|): `centered_clipping` of one iteration.

    bound: M > 0, the longest change of a site; null for the median of the sites' changes. liars: f >= 0, for a bound of
    null, as in `centered_clipping`. f liars move w by at most f M / m in a round.
    """
    return _clipping("norm_clipping", "bound", bound, 1, liars)


def _clipping(whose: str, radius: str, tau: float | None, iterations: int, liars: int) -> Scheme:
    least = 2 * whole(f"{whose}: liars", liars, 0) + 1
    whole(f"{whose}: iterations", iterations, 1)
    if tau is not None:
        least = 1
        number(f"{whose}: {radius}", tau, above=0)
    return robust(
        whose,
        lambda models, memory, round: r.centered_clipping(models, memory["weights"], tau, iterations),
        least,
    )

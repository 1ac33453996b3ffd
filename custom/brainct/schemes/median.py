"""Coordinate-wise median, and what all schemes share that expect liars: FedAvg with another way to combine.

Yin, Chen, Ramchandran, Bartlett: Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates, ICML 2018,
Algorithm 1, option I, here on models instead of gradients.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from brainct.core.learner import Model
from brainct.core.robust import coordinate_median
from brainct.core.scheme import About, Memory, Report, Scheme, majority, registered
from brainct.core.weights import Weights
from brainct.errors import Refused
from brainct.schemes._ranges import whole
from brainct.schemes.fedavg import fedavg

SENDS, KEEPS = "P to and P from each site", "nothing"
LOST = "left out of the round; the round is refused when too few are left to outvote the liars"
SINGLE = "the server must see single models"
PRIVACY = SINGLE + ": no secure aggregation"
ABOUT = {
    "median": About(
        paper="Yin, Chen, Ramchandran, Bartlett, ICML 2018, Algorithm 1, option I",
        family="robust",
        sends=SENDS,
        keeps=KEEPS,
        lost=LOST,
        use="fewer than half of the sites may send anything at all, by fault or by malice",
        privacy=PRIVACY,
        no_secure_aggregation=SINGLE,
        no_noise="",
    )
}
Aggregate = Callable[[Sequence[Weights], Memory, int], Weights]


@registered
def median(liars: int = 1) -> Scheme:
    """w <- the median of the sites' models in each coordinate; of an even number the mean of the middle two.

    liars: f >= 0, sites that may send anything; needs m >= 2f + 1 sites in every round. Then each coordinate lies
    between the honest sites' least and largest. A site whose patients differ looks like a liar, and its models are
    outvoted too. All sites count the same. A site keeps nothing; a lost site is left out. Peak memory: beside the
    reports the model, and 3m of its largest tensor in float64. No secure aggregation.
    """
    least = 2 * whole("median: liars", liars, 0) + 1
    return robust("median", lambda models, memory, round: coordinate_median(models), least)


def robust(whose: str, aggregate: Aggregate, least: int) -> Scheme:
    """FedAvg's half at the site; the server asks all sites and combines at least `least` models by `aggregate`.

    aggregate(models, memory, round) -> weights; models come sorted by site, memory["weights"] is the previous model.
    """
    averaging = fedavg(weight_by="equal")

    def enough(count: int, what: str) -> None:
        if count < least:
            raise Refused(f"{whose}: {what} {count} sites; with these arguments it needs at least {least}")

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        enough(len(sites), "the federation has")
        return averaging.start(model, sites, seed)

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        enough(len(reports), f"round {round} has reports of")
        return {**memory, "weights": aggregate([report.weights for report in reports.values()], memory, round)}

    return replace(averaging, start=start, combine=combine, quorum=at_least(least))


def at_least(least: int) -> Callable[[int], int]:
    """The quorum that needs more than half of the sites, and this many."""

    def quorum(asked: int) -> int:
        return min(asked, max(majority(asked), least))

    quorum.__doc__ = f"More than half of the sites that were asked, and at least {least}."
    return quorum

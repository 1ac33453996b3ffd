"""What all robust schemes share, which expect Byzantine sites: FedAvg with another way to combine, and a quorum."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from brainct.core.learner import Model
from brainct.core.scheme import About, Memory, Report, Scheme, majority
from brainct.core.weights import Weights
from brainct.errors import Refused
from brainct.schemes.fedavg import fedavg

SINGLE = "the server must see single models"
ROBUST = About(
    paper="",
    family="robust",
    summary="",
    when="",
    sends="P to and P from each site",
    lost_site="left out of the round; the round is refused if too few are left to outvote the Byzantine sites",
    privacy=f"{SINGLE}: no secure aggregation",
    blocks={"secure_aggregation": SINGLE},
)
"""What the rows of all robust schemes have in common."""
Aggregate = Callable[[Sequence[Weights], Memory, int], Weights]


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

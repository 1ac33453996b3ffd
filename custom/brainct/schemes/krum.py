"""Krum and Multi-Krum: the model whose neighbours are nearest, or the mean of the best few.

Blanchard, El Mhamdi, Guerraoui, Stainer: Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent,
NeurIPS 2017, sections 4 and 5, here on models instead of gradients.
"""

from dataclasses import replace

from brainct.core.arguments import Count, CountOrZero
from brainct.core.robust import multi_krum
from brainct.core.scheme import Scheme, registered
from brainct.schemes._robust import ROBUST, SINGLE, robust

KRUM = replace(
    ROBUST,
    paper="Blanchard, El Mhamdi, Guerraoui, Stainer, NeurIPS 2017, section 4",
    summary="The new model is the one site's model whose nearest neighbours are closest.",
    when="there are 5 sites or more and the result must be a model that some site really trained",
    privacy=f"{SINGLE}: no secure aggregation; the next model is one site's own, and every site gets it",
)
MULTIKRUM = replace(
    ROBUST,
    paper="Blanchard, El Mhamdi, Guerraoui, Stainer, NeurIPS 2017, section 5",
    summary="The new model is the mean of the few sites' models whose nearest neighbours are closest.",
    when="there are 5 sites or more, a known number of them may be Byzantine, and whole models rather than single "
    "weights should be left out",
)


@registered(KRUM)
def krum(liars: CountOrZero = 1) -> Scheme:
    """w <- the one model with the least sum of squared distances to its m - f - 2 nearest others; see `multikrum`.

    liars: f >= 0, the number of Byzantine sites; needs m >= 2f + 3 sites in every round.

    The result is bit-identical to one site's model: every site gets a model that one other site trained, without any
    averaging that would blur that site's scans.
    """
    return _krum("krum", liars, 1)


@registered(MULTIKRUM)
def multikrum(liars: CountOrZero = 1, chosen: Count | None = None) -> Scheme:
    """w <- the mean of the `chosen` models with the least sums of squared distances to their m - f - 2 nearest others.

    liars: f >= 0, the number of Byzantine sites, which may send anything; needs m >= 2f + 3 sites in every round.
    chosen: the paper's m, 1 to the number of reports minus f, or null for just that.

    A Byzantine site's model can be chosen only if its score is one of the best, thus if it lies near honest models: the
    distance to its nearest honest ones is bounded by theirs, but not zero. Ties go to the site whose name comes first.
    All chosen sites count the same. Peak memory without the reports: the model, and 2m of its largest tensor in
    float64.
    """
    return _krum("multikrum", liars, chosen)


def _krum(whose: str, liars: int, chosen: int | None) -> Scheme:
    least = 2 * liars + 3
    if chosen is not None:
        least = max(least, chosen + liars)
    return robust(whose, lambda models, memory, round: multi_krum(models, liars, chosen or len(models) - liars), least)

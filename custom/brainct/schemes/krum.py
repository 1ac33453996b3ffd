"""Krum and Multi-Krum: the model whose neighbours are nearest, or the mean of the best few.

Blanchard, El Mhamdi, Guerraoui, Stainer: Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent,
NeurIPS 2017, sections 4 and 5, here on models instead of gradients.
"""

from dataclasses import replace

from brainct.core.robust import multi_krum
from brainct.core.scheme import About, Scheme, registered
from brainct.schemes._ranges import whole
from brainct.schemes.median import KEEPS, LOST, PRIVACY, SENDS, SINGLE, robust

_KRUM = About(
    paper="Blanchard, El Mhamdi, Guerraoui, Stainer, NeurIPS 2017, section 4",
    family="robust",
    sends=SENDS,
    keeps=KEEPS,
    lost=LOST,
    use="there are 5 sites or more and the result must be a model that some site really trained",
    privacy=PRIVACY + "; the next model is one site's own, and every site gets it",
    no_secure_aggregation=SINGLE,
    no_noise="",
)
ABOUT = {
    "krum": _KRUM,
    "multikrum": replace(
        _KRUM,
        paper="Blanchard, El Mhamdi, Guerraoui, Stainer, NeurIPS 2017, section 5",
        use="there are 5 sites or more, a known number of which may lie, and whole models rather than single numbers "
        "should be left out",
        privacy=PRIVACY,
    ),
}


@registered
def krum(liars: int = 1) -> Scheme:
    """w <- the one model with the least sum of squared distances to its m - f - 2 nearest others; see `multikrum`.

    liars: f >= 0; needs m >= 2f + 3 sites in every round. The result is one site's model to the bit, so every site gets
    a model that one other trained, and what that site saw is not averaged with anything.
    """
    return _krum("krum", liars, 1)


@registered
def multikrum(liars: int = 1, chosen: int | None = None) -> Scheme:
    """w <- the mean of the `chosen` models with the least sums of squared distances to their m - f - 2 nearest others.

    liars: f >= 0, sites that may send anything; needs m >= 2f + 3 sites in every round. chosen: the paper's m, 1 to the
    number of reports minus f, or null for just that. A liar can be chosen only if its score is one of the best, thus if
    it lies near honest models: the distance of its nearest honest ones is bounded by theirs, not zero. Ties go to the
    site whose name comes first. All chosen sites count the same. A site keeps nothing; a lost site is left out. Peak
    memory: beside the reports the model, and 2m of its largest tensor in float64. No secure aggregation.
    """
    return _krum("multikrum", liars, chosen)


def _krum(whose: str, liars: int, chosen: int | None) -> Scheme:
    least = 2 * whole(f"{whose}: liars", liars, 0) + 3
    if chosen is not None:
        least = max(least, whole(f"{whose}: chosen", chosen, 1) + liars)
    return robust(whose, lambda models, memory, round: multi_krum(models, liars, chosen or len(models) - liars), least)

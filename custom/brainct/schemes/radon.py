"""The Radon machine: iterated Radon points of the sites' models instead of their mean.

Kamp, Boley, Missura, Gaertner: Effective Parallelisation for Machine Learning, NeurIPS 2017, Algorithm 1. The paper's
run is one round of long local training; more rounds start again from the Radon point.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from brainct.errors import Refused
from brainct.robust import combined, median_of_threes, numbers, radon_machine, sketch
from brainct.scheme import About, Memory, Model, Scheme, every, generator, one_of, registered
from brainct.schemes._ranges import whole
from brainct.schemes.median import KEEPS, PRIVACY, SENDS, SINGLE, at_least, robust
from brainct.weights import Weights

ABOUT = {
    "radon": About(
        paper="Kamp, Boley, Missura, Gaertner, NeurIPS 2017, Algorithm 1",
        family="robust",
        sends=SENDS,
        keeps=KEEPS,
        lost="left out with one level of sketches, else the round is refused: a Radon machine needs r^h models",
        use="training at each site is a convex problem of few parameters (part `whole`, with its guarantee), or a mean "
        "that one site can't drag away is wanted (part `sketch`, `coordinate`)",
        privacy=PRIVACY + "; the server's secret hides the sketch (privacy.md)",
        no_secure_aggregation=SINGLE,
        no_noise="",
    )
}
PARTS = ("sketch", "whole", "coordinate")


@registered
def radon(levels: int = 1, part: str = "sketch") -> Scheme:
    """w <- the iterated Radon point of r^h models: one Radon point for each group of r, and again of those, h times.

    levels: h >= 1; the number of sites must be r^h for a whole r >= 3; groups follow their names. part: what the Radon
    points are of, d = r - 2 numbers.
    `whole`: the model itself, which must have just r - 2 numbers. Guarantee for a quasi-convex risk: if a site's model
    is worse than eps with probability delta < 1/r, the result is with probability at most (r delta)^(2^h). Survives
    2^h - 1 liars of r^h: the result has Tukey depth 2^h and lies in the honest models' convex hull.
    `sketch`: a random projection of the model to r - 2 numbers, drawn anew each round; the convex weights that give the
    sketches' Radon point combine the whole models. Both guarantees then hold for the sketch only; a liar who knows the
    seed can hide from it, so give the server a secret. A model of at most r - 2 numbers is its own sketch.
    `coordinate`: each coordinate on its own, d = 1, r = 3: the iterated median of three; needs 3^h sites.
    All sites count the same. A site keeps nothing. A lost site is left out if h is 1 and the part is `sketch` and three
    are left, else all must answer. Peak memory: beside the reports the model and two tensors; `coordinate` 3m of the
    largest tensor in float64. No secure aggregation.
    """
    whole("radon: levels", levels, 1)
    one_of("radon: part", part, PARTS)

    def aggregate(models: Sequence[Weights], memory: Memory, round: int) -> Weights:
        return machine(models, levels, part, generator(memory["seed"], "radon", round))

    base = robust("radon", aggregate, 3**levels)

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        _root(len(sites), model.weights, levels, part)
        return base.start(model, sites, seed)

    flexible: Callable[[int], int] = at_least(3) if (levels, part) == (1, "sketch") else every
    return replace(base, start=start, quorum=flexible)


def machine(models: Sequence[Weights], levels: int, part: str, rng: np.random.Generator) -> Weights:
    """The iterated Radon point of models; refuses numbers of models that it can't be made of."""
    r = _root(len(models), models[0], levels, part)
    if part == "coordinate":
        return median_of_threes(models)
    return combined(models, radon_machine(sketch(models, r - 2, rng)))


def fitting_levels(models: int, like: Weights) -> int:
    """The h for which this many models are (d + 2)^h, so that they need no sketch; else 1."""
    r = numbers(like) + 2
    fits = [h for h in range(1, models.bit_length()) if r**h == models]
    return fits[0] if fits else 1


def _root(count: int, like: Weights, levels: int, part: str) -> int:
    """The r for which r^h is the number of models, and which the part allows."""
    r = round(math.pow(count, 1 / levels))
    only = {"sketch": r, "whole": numbers(like) + 2, "coordinate": 3}[part]
    if r < 3 or r**levels != count or r != only:
        works = f"{3**levels}, {4**levels}, {5**levels}, ..." if part == "sketch" else str(only**levels)
        raise Refused(f"radon: {count} models; with levels {levels} and part {part} it takes {works}")
    return r

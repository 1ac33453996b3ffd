"""One score of a family from the sites' own: their sum, the worst of them (PERI), or what gives the median gain."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from brainct.graphs.moments import Family
from brainct.graphs.search import DIGITS, Score

Aggregate = Literal["sum", "min", "median"]
ALL: tuple[Aggregate, ...] = ("sum", "min", "median")


def aggregate(kind: Aggregate, values: Sequence[float]) -> float:
    """Over the sites in the order of their names; 0 of no site."""
    if not values:
        return 0.0
    if kind == "min":
        return round(min(values), DIGITS)
    return round(math.fsum(values) if kind == "sum" else len(values) * median(values), DIGITS)


@dataclass(frozen=True)
class BySite:
    """The sites' scores of a family. The difference of two is m times the median gain over the sites.

    Not the difference of two medians: honest sites' scores lie far apart, and one Byzantine site that moves the median
    from one of them to the next would decide on a gain.
    """

    values: tuple[float, ...]

    def __sub__(self, other: "BySite") -> float:
        return aggregate("median", [one - less for one, less in zip(self.values, other.values, strict=True)])


def score_of(kind: Aggregate, values: Sequence[float]) -> Score:
    """What a search compares."""
    return BySite(tuple(values)) if kind == "median" else aggregate(kind, values)


def aggregated(
    kind: Aggregate, answers: Mapping[str, Mapping[Family, float]], abstaining: Mapping[str, set[int]]
) -> dict[Family, Score]:
    """Of each family that all sites scored; a site counts in all families of a variable or in none of them.

    answers: scores by site. abstaining: variables for which a site says nothing.
    """
    sites = sorted(answers)
    if not sites:
        return {}
    common = [one for one in answers[sites[0]] if all(one in answers[site] for site in sites[1:])]
    silent = {site: abstaining.get(site, set()) for site in sites}
    return {one: score_of(kind, [answers[site][one] for site in sites if one[0] not in silent[site]]) for one in common}

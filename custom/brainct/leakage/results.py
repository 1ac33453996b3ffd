"""From finished federations to numbers: each attacker's measures of each variant, and the accuracy beside them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from brainct.compare.statistics import Mean, holm, mean_of
from brainct.core.determinism import generator
from brainct.errors import Refused
from brainct.leakage import attacks
from brainct.leakage.attacks import Bools, Floats
from brainct.leakage.bounds import auc_of_epsilon, auc_of_gaussian, true_of_epsilon, true_of_gaussian
from brainct.leakage.measures import RATES, Measure, Pairs, measures
from brainct.leakage.rows import Row, bits, done
from brainct.leakage.views import SEES, STOLEN

LIRA, LOSS = "LiRA", "loss threshold"
DRAWS = 2000
"""Of the membership, to see what chance gives: so many that a small p outlives the correction for all attacks."""
SURE = 0.05
"""The corrected p under which a leak is spoken of."""
FEWEST = 4
"""Federations without which nothing is said."""


@dataclass(frozen=True)
class Result:
    """One attack by one attacker on one variant.

    pairs: the scores. measures: AUC and true positive rates at RATES. bounds: the largest of these that the noise of
    the updates leaves to anybody, None without noise.
    """

    variant: str
    attacker: str
    attack: str
    pairs: Pairs
    measures: list[Measure]
    bounds: tuple[float, ...] | None

    @property
    def auc(self) -> Measure:
        """Area under the ROC curve."""
        return self.measures[0]

    @property
    def stolen(self) -> bool:
        """Whether the protocol gives this attacker nothing."""
        return self.attacker in STOLEN


@dataclass(frozen=True)
class Summary:
    """One variant: its federations, the AUROC of its models on held-out scans, KiB a site, mu of its noise, attacks."""

    name: str
    rows: list[Row]
    auroc: Mean | None
    kib: Mean | None
    mu: float | None
    results: list[Result]

    @property
    def worst(self) -> Result | None:
        """The result with the largest AUC of the attackers that the protocol gives something."""
        return max((one for one in self.results if not one.stolen), key=lambda one: one.auc.value, default=None)

    @property
    def stolen(self) -> Result | None:
        """The result with the largest AUC of the attackers that have to steal."""
        return max((one for one in self.results if one.stolen), key=lambda one: one.auc.value, default=None)


def summaries(rows: Sequence[Row], resamples: int = 1000, draws: int = DRAWS) -> list[Summary]:
    """All variants of a ledger, in the order in which they came, from those federations that all of them finished.

    A variant with fewer than FEWEST federations is left out.
    """
    found = {name: of for name, of in done(rows).items() if len(of) >= FEWEST}
    common = set.intersection(*({row.number for row in of} for of in found.values())) if found else set()
    if len(common) < FEWEST:
        return []
    shared = {name: [row for row in of if row.number in common] for name, of in found.items()}
    if len({str(membership(of).tolist()) for of in shared.values()}) > 1:
        raise Refused("the ledger's schemes trained on different halves; start the study in a new folder")
    return [_summary(name, of, resamples, draws) for name, of in shared.items()]


def _summary(name: str, rows: list[Row], resamples: int, draws: int) -> Summary:
    seen = [attacker for attacker in SEES if all(attacker in row.views for row in rows) and _varies(rows, attacker)]
    results = [one for attacker in seen for one in _results(name, attacker, rows, resamples, draws)]
    aurocs, kib = mean_of([row.auroc for row in rows]), mean_of([row.kib_per_site for row in rows])
    return Summary(name, rows, aurocs, kib, rows[0].mu, results)


def _varies(rows: list[Row], attacker: str) -> bool:
    """Whether federations differ in what the attacker sees; what is the same in all tells him nothing."""
    return any(row.views[attacker] != rows[0].views[attacker] for row in rows)


def _results(variant: str, attacker: str, rows: list[Row], resamples: int, draws: int) -> list[Result]:
    members, bounds, found = membership(rows), _bounds(rows[0], attacker), []
    for name in (LIRA, LOSS):
        if name == LOSS and rows[0].views[attacker].votes:
            continue  # a vote has no loss of a scan that it is not about
        attack = attack_on(rows, attacker, name)
        numbers = measures(attack, members, partial(redrawn, rows), resamples, draws)
        found.append(Result(variant, attacker, name, Pairs(attack(members), members), numbers, bounds))
    return found


def _bounds(row: Row, attacker: str) -> tuple[float, ...] | None:
    """The noise bounds whoever sees what left a site or what was made of it, and nobody who steals from its disk."""
    if attacker in STOLEN:
        return None
    if row.mu is not None:
        return auc_of_gaussian(row.mu), *(true_of_gaussian(row.mu, rate) for rate in RATES)
    if row.epsilon is None:
        return None
    return auc_of_epsilon(row.epsilon), *(true_of_epsilon(row.epsilon, 0.0, rate) for rate in RATES)


def attack_on(rows: Sequence[Row], attacker: str, attack: str) -> Callable[[Bools], Floats]:
    """What gives (N, n) scores of all sites' scans, sites in order, were this (N, n) the membership."""
    if rows[0].views[attacker].votes:
        return _on_votes(rows, attacker)
    signals = seen_by(rows, attacker)
    return partial(attacks.lira, signals) if attack == LIRA else lambda members: attacks.threshold(signals)


def seen_by(rows: Sequence[Row], attacker: str) -> Floats:
    """(N, n) confidences, sites in order; NaN where the attacker sees nothing of a site."""
    sizes = pools(rows).items()
    seen = [row.views[attacker].signals for row in rows]
    return np.array([[x for site, size in sizes for x in of.get(site, [np.nan] * size)] for of in seen])


def _on_votes(rows: Sequence[Row], attacker: str) -> Callable[[Bools], Floats]:
    """Each site's scans by its own labels, or by the consensus."""
    ends = np.cumsum(list(pools(rows).values()))[:-1]
    labels = [np.stack([bits(row.views[attacker].votes[site]) for row in rows]) for site in pools(rows)]

    def attack(members: Bools) -> Floats:
        parts = zip(labels, np.split(members, ends, axis=1), strict=True)
        return np.concatenate([attacks.votes(said, mine) for said, mine in parts], axis=1)

    return attack


def pools(rows: Sequence[Row]) -> dict[str, int]:
    """Scans of each site's pool, sites in order."""
    return {site: len(rows[0].members[site]) for site in sorted(rows[0].members)}


def membership(rows: Sequence[Row]) -> Bools:
    """(N, n): which federation trained on which scan, sites in order."""
    return np.stack([np.concatenate([bits(row.members[site]) for site in pools(rows)]) for row in rows])


def redrawn(rows: Sequence[Row], at: int) -> Bools:
    """(N, n): other halves, drawn as the federations' own were."""
    rng = generator(at, "leakage", "chance")
    drawn = [np.tile(np.arange(size) < size // 2, (len(rows), 1)) for size in pools(rows).values()]
    return np.concatenate([rng.permuted(of, axis=1) for of in drawn], axis=1)


def corrected(found: Sequence[Summary]) -> dict[tuple[str, str, str], float]:
    """By variant, attacker and attack the p of the AUC, corrected by Holm for all of them together."""
    results = [result for one in found for result in one.results]
    p = holm([result.auc.p for result in results]) if results else []
    return {(one.variant, one.attacker, one.attack): value for one, value in zip(results, p, strict=True)}


def shown(found: Sequence[Summary]) -> list[str]:
    """Variants of which an attacker that the protocol gives something learns more than chance, at SURE."""
    p = corrected(found)
    return [
        one.name
        for one in found
        if any(p[one.name, each.attacker, each.attack] < SURE for each in one.results if not each.stolen)
    ]

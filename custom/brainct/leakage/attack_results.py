"""From finished federations to numbers: the measures of each attack on each variant, and the variant's accuracy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from brainct.compare.statistics import Mean, holm, mean_of
from brainct.core.determinism import generator
from brainct.errors import Refused
from brainct.leakage import attacks
from brainct.leakage.attackers import BY_SHARE, SEES, STOLEN
from brainct.leakage.attacks import Bools, Floats
from brainct.leakage.bounds import auc_of_epsilon, auc_of_gaussian, true_of_epsilon, true_of_gaussian
from brainct.leakage.federation_row import FederationRow, finished_federations, parse_bits
from brainct.leakage.measures import RATES, Measure, Pairs, measure_attack

LIRA, LOSS, SHARE = "LiRA", "loss threshold", "share threshold"
DRAWS = 2000
"""Random memberships that show the effect of chance: enough for a small p after correction for all attacks."""
SURE = 0.05
"""The corrected p below which a leak counts as shown."""
FEWEST = 4
"""Federations below which there is no result."""


@dataclass(frozen=True)
class AttackResult:
    """One attack by one attacker on one variant.

    pairs: the scores. measures: AUC and true positive rates at RATES. bounds: their largest values under the updates'
    noise for any attacker; None without noise.
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
        """Whether this attacker must steal what it sees."""
        return self.attacker in STOLEN


@dataclass(frozen=True)
class VariantResult:
    """One variant: its federations, AUROC on held-out scans, KiB a site, mu of its noise, and its attacks."""

    name: str
    rows: list[FederationRow]
    auroc: Mean | None
    kib: Mean | None
    mu: float | None
    results: list[AttackResult]

    @property
    def worst(self) -> AttackResult | None:
        """The result with the largest AUC among attackers to whom the protocol gives something."""
        return max((one for one in self.results if not one.stolen), key=lambda one: one.auc.value, default=None)

    @property
    def stolen(self) -> AttackResult | None:
        """The result with the largest AUC among attackers that must steal."""
        return max((one for one in self.results if one.stolen), key=lambda one: one.auc.value, default=None)


def summarise(rows: Sequence[FederationRow], resamples: int = 1000, draws: int = DRAWS) -> list[VariantResult]:
    """The results of all variants of a ledger, in order, from the federations that all of them finished.

    A variant with fewer than FEWEST federations is left out.
    """
    found = {name: of for name, of in finished_federations(rows).items() if len(of) >= FEWEST}
    common = set.intersection(*({row.number for row in of} for of in found.values())) if found else set()
    if len(common) < FEWEST:
        return []
    shared = {name: [row for row in of if row.number in common] for name, of in found.items()}
    if len({str(membership(of).tolist()) for of in shared.values()}) > 1:
        raise Refused("got schemes that trained on different halves in one ledger; start the study in a new folder")
    return [_summary(name, of, resamples, draws) for name, of in shared.items()]


def _summary(name: str, rows: list[FederationRow], resamples: int, draws: int) -> VariantResult:
    attackers = [
        attacker for attacker in SEES if all(attacker in row.views for row in rows) and _varies(rows, attacker)
    ]
    results = [one for attacker in attackers for one in _results(name, attacker, rows, resamples, draws)]
    aurocs, kib = mean_of([row.auroc for row in rows]), mean_of([row.kib_per_site for row in rows])
    return VariantResult(name, rows, aurocs, kib, rows[0].mu, results)


def _varies(rows: list[FederationRow], attacker: str) -> bool:
    """Whether the attacker sees differences between federations; without any it learns nothing."""
    return any(row.views[attacker] != rows[0].views[attacker] for row in rows)


def _results(variant: str, attacker: str, rows: list[FederationRow], resamples: int, draws: int) -> list[AttackResult]:
    members, bounds, found = membership(rows), _bounds(rows[0], attacker), []
    for name in (LIRA, SHARE if attacker in BY_SHARE else LOSS):
        if name == LOSS and rows[0].views[attacker].votes:
            continue  # a vote on a public scan gives no loss of another scan
        attack = attack_on(rows, attacker, name)
        numbers = measure_attack(attack, members, partial(redraw_halves, rows), resamples, draws)
        found.append(AttackResult(variant, attacker, name, Pairs(attack(members), members), numbers, bounds))
    return found


def _bounds(row: FederationRow, attacker: str) -> tuple[float, ...] | None:
    """Noise bounds attackers who see what left a site or was computed from it, but not thieves of its disk."""
    if attacker in STOLEN:
        return None
    if row.mu is not None:
        return auc_of_gaussian(row.mu), *(true_of_gaussian(row.mu, rate) for rate in RATES)
    if row.epsilon is None:
        return None
    return auc_of_epsilon(row.epsilon), *(true_of_epsilon(row.epsilon, 0.0, rate) for rate in RATES)


def attack_on(rows: Sequence[FederationRow], attacker: str, attack: str) -> Callable[[Bools], Floats]:
    """A function from (N, n) membership to (N, n) scores of all sites' scans, sites in order."""
    if rows[0].views[attacker].votes:
        return _on_votes(rows, attacker)
    signals = signals_of(rows, attacker)
    return partial(attacks.lira, signals) if attack == LIRA else lambda members: attacks.loss_threshold(signals)


def signals_of(rows: Sequence[FederationRow], attacker: str) -> Floats:
    """(N, n) confidences, sites in order; NaN for sites of which the attacker sees nothing."""
    sizes = pools(rows).items()
    views = [row.views[attacker].signals for row in rows]
    return np.array([[x for site, size in sizes for x in of.get(site, [np.nan] * size)] for of in views])


def _on_votes(rows: Sequence[FederationRow], attacker: str) -> Callable[[Bools], Floats]:
    """Scores of each site's scans from its own labels, or from the consensus."""
    ends = np.cumsum(list(pools(rows).values()))[:-1]
    labels = [np.stack([parse_bits(row.views[attacker].votes[site]) for row in rows]) for site in pools(rows)]

    def attack(members: Bools) -> Floats:
        parts = zip(labels, np.split(members, ends, axis=1), strict=True)
        return np.concatenate([attacks.lira_on_votes(votes, mine) for votes, mine in parts], axis=1)

    return attack


def pools(rows: Sequence[FederationRow]) -> dict[str, int]:
    """Scans of each site's pool, sites in order."""
    return {site: len(rows[0].members[site]) for site in sorted(rows[0].members)}


def membership(rows: Sequence[FederationRow]) -> Bools:
    """(N, n): whether a federation trained on a scan, sites in order."""
    return np.stack([np.concatenate([parse_bits(row.members[site]) for site in pools(rows)]) for row in rows])


def redraw_halves(rows: Sequence[FederationRow], at: int) -> Bools:
    """(N, n): other random halves, drawn like the federations' own."""
    rng = generator(at, "leakage", "chance")
    drawn = [np.tile(np.arange(size) < size // 2, (len(rows), 1)) for size in pools(rows).values()]
    return np.concatenate([rng.permuted(of, axis=1) for of in drawn], axis=1)


def corrected_p(found: Sequence[VariantResult]) -> dict[tuple[str, str, str], float]:
    """By (variant, attacker, attack), the p of the AUC, corrected by Holm for all of them together."""
    results = [result for one in found for result in one.results]
    p = holm([result.auc.p for result in results]) if results else []
    return {(one.variant, one.attacker, one.attack): value for one, value in zip(results, p, strict=True)}


def leaking_variants(found: Sequence[VariantResult]) -> list[str]:
    """Variants for which an attacker learns more than chance, at SURE, without stealing."""
    p = corrected_p(found)
    return [
        one.name
        for one in found
        if any(p[one.name, each.attacker, each.attack] < SURE for each in one.results if not each.stolen)
    ]

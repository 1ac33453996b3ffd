"""The tables and sentences of a study, as plain data: accuracy with leakage, every attack, the crafted networks."""

from collections.abc import Mapping, Sequence
from typing import Any

from brainct.leakage.accuracy_tradeoff import ALONE, BASELINE, Estimate, Tradeoff
from brainct.leakage.attack_results import AttackResult, VariantResult, corrected_p
from brainct.leakage.attackers import SEES
from brainct.leakage.measures import Measure
from brainct.pages.page import Section, Table

LOWER_BOUND = "A lower bound for these attacks: what they did not find, another attack may."


def study_sections(
    found: Sequence[VariantResult], tradeoffs: Sequence[Tradeoff], tried: Sequence[Mapping[str, Any]]
) -> list[Section]:
    """All sections of a study without pictures: notes, accuracy with leakage, every attack, the crafted networks."""
    sections = [Section("Accuracy and leakage", notes(found))]
    if found:
        sections += [
            Section("Schemes", tables=[accuracy_table(found, tradeoffs)]),
            Section("Every attack", tables=[attacks_table(found)]),
            Section("Attackers", terms=attackers_in_words(found)),
        ]
    if tried:
        sections.append(Section("Crafted networks", tables=[crafted_table(tried)]))
    return sections


def accuracy_table(found: Sequence[VariantResult], tradeoffs: Sequence[Tradeoff]) -> Table:
    """A line a variant: AUROC, the strongest attack that the protocol allows, its cost, the result of theft."""
    head = (
        "scheme", "AUROC, held out", "strongest attack", "its AUC", "by chance", f"AUROC minus {BASELINE}",
        f"AUC minus {BASELINE}", "leakage per accuracy", f"AUROC minus {ALONE}", "leakage per gain over it", "unbeaten",
        "own model, stolen: AUC", "KiB a site",
    )  # fmt: skip
    by_name = {one.name: one for one in tradeoffs}
    rows = [_accuracy(one, by_name.get(one.name)) for one in found]
    return Table("Each scheme with the strongest attack that its protocol allows", head, rows)


def _accuracy(one: VariantResult, tradeoff: Tradeoff | None) -> list[str]:
    worst, stolen = one.worst, one.stolen
    return [
        one.name,
        "–" if one.auroc is None else f"{one.auroc.mean:.3f}{_ends(one.auroc.interval)}",
        f"{worst.attacker}, {worst.attack}" if worst else "none: no trained value leaves a site",
        _measured(worst.auc) if worst else "–",
        _ends(worst.auc.chance).strip() if worst else "–",
        *(_signed(value) for value in ((tradeoff.auroc, tradeoff.auc) if tradeoff else (None, None))),
        _price(tradeoff.price if tradeoff else None),
        _signed(tradeoff.gain if tradeoff else None),
        _price(tradeoff.joining if tradeoff else None),
        f"{100 * tradeoff.unbeaten:.0f} %" if tradeoff else "–",
        _measured(stolen.auc) if stolen else "",
        f"{one.kib.mean:,.0f}" if one.kib else "–",
    ]


def attacks_table(found: Sequence[VariantResult]) -> Table:
    """A line for each variant, attacker and attack; p is corrected by Holm over all lines."""
    p = corrected_p(found)
    head = (
        "scheme", "attacker", "attack", "AUC", "by chance", "p", "TPR at 1 % FPR", "by chance", "TPR at 5 % FPR",
        "by chance", "at most, by the noise: AUC / TPR at 1 % / at 5 %",
    )  # fmt: skip
    rows = [_attack(one, p[one.variant, one.attacker, one.attack]) for variant in found for one in variant.results]
    return Table("Every attacker and attack", head, rows)


def _attack(result: AttackResult, p: float) -> list[str]:
    cells = [[_measured(one), _ends(one.chance).strip()] for one in result.measures]
    bounds = " / ".join(f"{value:.3f}" for value in result.bounds) if result.bounds else ""
    names = [result.variant, result.attacker, result.attack]
    return [*names, *cells[0], f"{p:.3f}", *cells[1], *cells[2], bounds]


def crafted_table(tried: Sequence[Mapping[str, Any]]) -> Table:
    """A line for each policy and crafted network: PASS, or FAIL if a training scan came out."""
    head = (
        "policy of the site", "crafted network", "verdict", "training scans above 35 dB", "best, dB", "requests",
        "refused",
    )  # fmt: skip
    rows = [
        [
            str(row["policy"]),
            str(row["attack"]),
            str(row["verdict"]),
            f"{row['recovered']} of {row['of']}",
            "–" if row["best"] is None else f"{row['best']:.1f}",
            str(row["orders"]),
            "yes" if row["said"] else "no",
        ]
        for row in tried
    ]
    return Table("Networks that are made to read scans, tried on one site agent", head, rows)


def attackers_in_words(found: Sequence[VariantResult]) -> dict[str, str]:
    """The attackers of a study, and what each sees."""
    present = {result.attacker for one in found for result in one.results}
    return {attacker: sees for attacker, sees in SEES.items() if attacker in present}


def notes(found: Sequence[VariantResult]) -> list[str]:
    """How many federations and scans the numbers are made of, and how to read them."""
    if not found:
        return ["No variant has enough finished federations; there are no results yet."]
    federations, scans = found[0].results[0].pairs.shape
    return [
        f"{federations} federations of each scheme, {scans} scans in the pool; the same halves train for all schemes. "
        f"Each federation is attacked with the other {federations - 1} as shadows. {LOWER_BOUND}",
        "In brackets 95 % intervals: of an attack from a two-way bootstrap over federations and scans, of AUROC over "
        "federations. By chance: the same attack with the halves drawn anew, of which the signals know nothing; p is "
        "corrected by Holm over all lines.",
    ]


def _measured(one: Measure) -> str:
    return f"{one.value:.3f}{_ends(one.interval)}"


def _ends(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f" [{ends[0]:.3f}, {ends[1]:.3f}]"


def _signed(found: Estimate | None) -> str:
    return "" if found is None else f"{found[0]:+.3f} [{found[1][0]:+.3f}, {found[1][1]:+.3f}]"


def _price(found: Estimate | None) -> str:
    return "–" if found is None else f"{found[0]:.2f} [{found[1][0]:.2f}, {found[1][1]:.2f}]"

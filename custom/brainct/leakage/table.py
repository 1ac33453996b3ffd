"""The tables of a study: accuracy beside leakage, every attack with chance beside it, and the crafted networks."""

from collections.abc import Mapping, Sequence
from typing import Any

from brainct.leakage.measures import Measure
from brainct.leakage.results import Result, Summary, corrected
from brainct.leakage.tradeoff import ALONE, BASELINE, Place
from brainct.leakage.views import SEES

Head = Sequence[str]
Lines = list[list[str]]
LOWER = "A lower bound for these attacks: what they did not find, another attack may."


def accuracy(found: Sequence[Summary], placed: Sequence[Place]) -> tuple[Head, Lines]:
    """A line a variant: AUROC, the strongest attack that the protocol allows, what it costs, what stealing gains."""
    head = (
        "scheme", "AUROC, held out", "strongest attack", "its AUC", "by chance", f"AUROC minus {BASELINE}",
        f"AUC minus {BASELINE}", "leakage per accuracy", f"AUROC minus {ALONE}", "leakage per gain over it", "unbeaten",
        "own model, stolen: AUC", "KiB a site",
    )  # fmt: skip
    where = {place.name: place for place in placed}
    return head, [_accuracy(one, where.get(one.name)) for one in found]


def _accuracy(one: Summary, place: Place | None) -> list[str]:
    worst, stolen = one.worst, one.stolen
    return [
        f"`{one.name}`",
        "-" if one.auroc is None else f"{one.auroc.mean:.3f}{_ends(one.auroc.interval)}",
        f"{worst.attacker}, {worst.attack}" if worst else "none: nothing that was trained leaves",
        _measured(worst.auc) if worst else "-",
        _ends(worst.auc.chance).strip() if worst else "-",
        *(_signed(value) for value in ((place.auroc, place.auc) if place else (None, None))),
        _paid(place.price if place else None),
        _signed(place.gain if place else None),
        _paid(place.joining if place else None),
        f"{100 * place.unbeaten:.0f} %" if place else "-",
        _measured(stolen.auc) if stolen else "",
        f"{one.kib.mean:,.0f}" if one.kib else "-",
    ]


def every(found: Sequence[Summary]) -> tuple[Head, Lines]:
    """A line for each variant, attacker and attack; p is Holm's, over all lines."""
    p = corrected(found)
    head = (
        "scheme", "attacker", "attack", "AUC", "by chance", "p", "TPR at 1 % FPR", "by chance", "TPR at 5 % FPR",
        "by chance", "at most, by the noise: AUC / TPR at 1 % / at 5 %",
    )  # fmt: skip
    return head, [_every(one, p[one.variant, one.attacker, one.attack]) for summary in found for one in summary.results]


def _every(result: Result, p: float) -> list[str]:
    cells = [[_measured(one), _ends(one.chance).strip()] for one in result.measures]
    bounds = " / ".join(f"{value:.3f}" for value in result.bounds) if result.bounds else ""
    name, attacker = f"`{result.variant}`", result.attacker
    return [name, attacker, result.attack, *cells[0], f"{p:.3f}", *cells[1], *cells[2], bounds]


def crafted(rows: Sequence[Mapping[str, Any]]) -> tuple[Head, Lines]:
    """A line for each policy and crafted network: PASS, or FAIL where a training scan came out."""
    head = (
        "policy of the site",
        "crafted network",
        "verdict",
        "training scans above 35 dB",
        "best, dB",
        "orders",
        "refused",
    )
    return head, [
        [
            str(row["policy"]),
            str(row["attack"]),
            str(row["verdict"]),
            f"{row['recovered']} of {row['of']}",
            "-" if row["best"] is None else f"{row['best']:.1f}",
            str(row["orders"]),
            "yes" if row["said"] else "no",
        ]
        for row in rows
    ]


def attackers(found: Sequence[Summary]) -> dict[str, str]:
    """The attackers of a study and what each sees."""
    seen = {result.attacker for one in found for result in one.results}
    return {attacker: sees for attacker, sees in SEES.items() if attacker in seen}


def notes(found: Sequence[Summary]) -> list[str]:
    """How many federations and scans stand behind the numbers, and how to read them."""
    if not found:
        return ["No variant has finished enough federations; nothing is said."]
    federations, scans = found[0].results[0].pairs.shape
    return [
        f"{federations} federations of each scheme, {scans} scans in the pool; the same halves train for all schemes. "
        f"Each federation is attacked with the other {federations - 1} as shadows. {LOWER}",
        "In brackets 95 % intervals: of an attack from a two-way bootstrap over federations and scans, of AUROC over "
        "federations. By chance: the same attack with the halves drawn anew, which the signals know nothing of; p is "
        "corrected by Holm over all lines.",
    ]


def _measured(one: Measure) -> str:
    return f"{one.value:.3f}{_ends(one.interval)}"


def _ends(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f" [{ends[0]:.3f}, {ends[1]:.3f}]"


def _signed(found: tuple[float, tuple[float, float]] | None) -> str:
    return "" if found is None else f"{found[0]:+.3f} [{found[1][0]:+.3f}, {found[1][1]:+.3f}]"


def _paid(found: tuple[float, tuple[float, float]] | None) -> str:
    return "-" if found is None else f"{found[0]:.2f} [{found[1][0]:.2f}, {found[1][1]:.2f}]"

"""What leaked, as one HTML page: a lower bound for the attacks that were run."""

from collections.abc import Mapping, Sequence
from typing import Any

from brainct.leakage import table
from brainct.leakage.results import Summary, shown
from brainct.leakage.tradeoff import Place
from brainct.pages.charts import Dot, dots, rows_high
from brainct.pages.drawing import picture
from brainct.pages.page import Page, Section, Table
from brainct.pages.picture import Picture
from brainct.pages.scatter import scatter
from brainct.pages.wording import decimals, listing
from brainct.report import definitions

CHANCE = {"chance": 0.5}
TERMS = {
    "Membership inference": "Somebody who has a scan and a model asks whether the model was trained on that scan. It "
    "is the question about one scan that differential privacy answers, and the least that any leak must allow.",
    "AUC of an attack": "How often a scan that was trained on scores above one that was not; 0.5 is guessing, 1 is "
    "certainty. An average over patients: it can be near 0.5 while a few patients are found for certain.",
    "TPR at 1 % FPR": "The share of the scans that were trained on which the attacker finds when he is wrong about one "
    "in a hundred of the others: what he knows about the patients whom he is surest of.",
    "LiRA": "The likelihood ratio attack (Carlini et al., IEEE S&P 2022): of each scan, how sure models are that were "
    "trained with it and without it, learnt from other federations; then which of the two this model looks like. On "
    "votes, the same with shares of labels.",
    "Loss threshold": "A scan with a low loss was trained on (Yeom et al., CSF 2018).",
    "By chance": "The range in which 95 % of the results lie when the halves are drawn anew and mean nothing.",
    "Leakage per accuracy": "(AUC of the strongest attack - 0.5) / (AUROC - 0.5): less is better. Per gain over local: "
    "the same with the AUROC that training together adds to training alone. Not given where that may be nothing.",
    "Unbeaten": "In how many of 100 resamples no other scheme had both a higher AUROC and a lower AUC of its attack.",
    "At most, by the noise": "What differential privacy of the updates leaves to any attacker whatever (Dong, Roth, "
    "Su, 2022). Where it is 1.000 the noise proves nothing.",
    "Crafted network": "A server names a network that is made to read scans. PASS: no training scan came out with "
    "these crafted networks; FAIL: at least one did.",
}  # fmt: skip


def leakage_page(found: Sequence[Summary], placed: Sequence[Place], tried: Sequence[Any], name: str) -> Page:
    """The page of one study."""
    parts = sections(found, placed, tried)
    return Page(
        title="What leaked: a lower bound for these attacks",
        subtitle=f"{len(found)} schemes attacked in “{name}”",
        warnings=_warnings(found),
        answers=_answers(found, tried),
        first=parts[0],
        sections=parts[1:],
        footer=f"Made by brainct. {definitions.NOT_A_DEVICE}",
    )


def sections(found: Sequence[Summary], placed: Sequence[Place], tried: Sequence[Mapping[str, Any]]) -> list[Section]:
    """The page's parts: accuracy beside leakage first, then every attack, the crafted networks, the terms."""
    said = table.notes(found)
    parts = [Section("Accuracy and leakage", said, pictures=_pictures(found))]
    if found:
        first = _table("Each scheme with the strongest attack that its protocol allows", *table.accuracy(found, placed))
        all_of_them = _table("Every attacker and attack", *table.every(found))
        parts += [Section("Schemes", tables=[first]), Section("Every attack", tables=[all_of_them])]
        parts += [Section("Who sees what", terms=table.attackers(found))]
    if tried:
        shown = _table("Networks that are made to read scans, tried at one site agent", *table.crafted(tried))
        parts += [Section("Crafted networks", tables=[shown])]
    return [*parts, Section("Definitions", terms=TERMS)]


def _table(caption: str, head: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    return Table(caption, head, [[cell.replace("`", "") for cell in line] for line in lines])


def _pictures(found: Sequence[Summary]) -> list[Picture]:
    worst = {one.name: one.worst for one in found if one.worst}
    if not worst:
        return []
    rows = [Dot(name, result.auc.value, result.auc.interval) for name, result in worst.items()]
    spoken = "; ".join(f"{row.label} {decimals(row.value)}" for row in rows)
    drawn = [
        picture(
            "leakage",
            f"Dot plot of the AUC of the strongest attack by scheme: {spoken}.",
            "AUC of the strongest attack that the protocol allows; whiskers: 95 % over federations and scans.",
            dots(rows, "AUC of membership inference", CHANCE),
            rows_high(len(rows), 1.0),
        )
    ]
    points = [(one.name, one.worst.auc.value if one.worst else 0.5, one.auroc.mean) for one in found if one.auroc]
    if len(points) > 1:
        spoken = "; ".join(f"{name}: AUC {x:.2f}, AUROC {y:.2f}" for name, x, y in points)
        text = "Accuracy against leakage: up and left is better."
        draw = scatter(points, "AUC of the strongest attack", "AUROC, held-out scans")
        drawn.append(picture("accuracy-and-leakage", f"{text} {spoken}.", text, draw))
    return drawn


def _warnings(found: Sequence[Summary]) -> list[str]:
    said = [table.LOWER]
    if found and all(row.choices.get("data") == "phantom" for one in found for row in one.rows):
        said.append("Synthetic phantom scans, drawn by a program: these numbers say nothing about patients.")
    return said


def _answers(found: Sequence[Summary], tried: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    leaks = shown(found)
    rest = [one.name for one in found if one.name not in leaks]
    who = [f"Beyond chance: {listing(leaks)}." if leaks else "With no scheme was more than chance shown."]
    who += [f"Not shown to leak, which proves nothing: {listing(rest)}."] if rest else []
    failed = sum(row["verdict"] == "FAIL" for row in tried)
    crafted = [f"{failed} of {len(tried)} tries brought a training scan out."] if tried else ["Not tried."]
    return [
        ("Can somebody tell which scans were trained on?", who),
        ("Can a crafted network read scans?", crafted),
    ]

"""The HTML page of a study of leakage: a lower bound for the attacks that were run."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from brainct.leakage.accuracy_tradeoff import Tradeoff
from brainct.leakage.attack_results import VariantResult, leaking_variants
from brainct.leakage.leakage_tables import LOWER_BOUND, study_sections
from brainct.pages.charts import Dot, dots, rows_high
from brainct.pages.drawing import picture
from brainct.pages.page import Page, Section
from brainct.pages.picture import Picture
from brainct.pages.scatter import scatter
from brainct.pages.wording import decimals, listing
from brainct.report import definitions
from brainct.report.ct.definitions import PHANTOM

TERMS = {
    "Membership inference": "An attacker who has a scan and a model asks whether the model was trained on that scan. "
    "It is the question about one scan that differential privacy answers, and any leak must allow at least this one.",
    "AUC of an attack": "How often a scan of the training set scores above one that is not in it; 0.5 is guessing, 1 "
    "is certainty. An average over patients: it can be near 0.5 although a few patients are found for certain.",
    "TPR at 1 % FPR": "The share of the training scans that the attacker finds when it is wrong about one in a hundred "
    "of the others: its knowledge of the patients of whom it is surest.",
    "LiRA": "The likelihood ratio attack (Carlini et al., IEEE S&P 2022): for each scan, how sure models are that were "
    "trained with it and without it, learnt from other federations; then which of the two this model resembles. On "
    "votes, the same with shares of labels.",
    "Loss threshold": "A scan with a low loss is taken for a training scan (Yeom et al., CSF 2018).",
    "By chance": "The range in which 95 % of the results lie when the halves are drawn anew and mean nothing.",
    "Leakage per accuracy": "(AUC of the strongest attack - 0.5) / (AUROC - 0.5): less is better. Per gain over local: "
    "the same with the AUROC that training together adds to training alone. Not given where that may be nothing.",
    "Unbeaten": "In how many of 100 resamples no other scheme had both a higher AUROC and a lower AUC of its attack.",
    "At most, by the noise": "The bound of the updates' differential privacy for any attacker (Dong, Roth, Su, 2022). "
    "If it is 1.000, the noise proves nothing.",
    "Crafted network": "A server names a network that is made to read scans. PASS: no training scan came out with "
    "these crafted networks; FAIL: at least one did.",
}


def leakage_page(
    found: Sequence[VariantResult], tradeoffs: Sequence[Tradeoff], tried: Sequence[Mapping[str, Any]], name: str
) -> Page:
    """The page of one study. tried: rows of crafted.json. name: the folder's."""
    first, *others = study_sections(found, tradeoffs, tried)
    return Page(
        title="What leaked: a lower bound for these attacks",
        subtitle=f"{len(found)} schemes attacked in “{name}”",
        warnings=_warnings(found),
        answers=_answers(found, tried),
        first=replace(first, pictures=_pictures(found)),
        sections=[replace(first, title="How to read the numbers"), *others, Section("Definitions", terms=TERMS)],
        footer=f"Made by brainct. {definitions.NOT_A_DEVICE}",
    )


def _pictures(found: Sequence[VariantResult]) -> list[Picture]:
    worst = {one.name: one.worst for one in found if one.worst}
    if not worst:
        return []
    rows = [Dot(name, result.auc.value, result.auc.interval) for name, result in worst.items()]
    spoken = "; ".join(f"{row.label} {decimals(row.value)}" for row in rows)
    attacks = picture(
        "leakage",
        f"Dot plot of the AUC of the strongest attack by scheme: {spoken}.",
        "AUC of the strongest attack that the protocol allows; whiskers: 95 % over federations and scans.",
        dots(rows, "AUC of membership inference", {"chance": 0.5}),
        rows_high(len(rows), 1.0),
    )
    return [attacks, *_tradeoff(found)]


def _tradeoff(found: Sequence[VariantResult]) -> list[Picture]:
    points = [(one.name, one.worst.auc.value if one.worst else 0.5, one.auroc.mean) for one in found if one.auroc]
    if len(points) < 2:
        return []
    spoken = "; ".join(f"{name}: AUC {x:.2f}, AUROC {y:.2f}" for name, x, y in points)
    text = "Accuracy against leakage: up and left is better."
    draw = scatter(points, "AUC of the strongest attack", "AUROC, held-out scans")
    return [picture("accuracy-and-leakage", f"{text} {spoken}.", text, draw)]


def _warnings(found: Sequence[VariantResult]) -> list[str]:
    phantom = found and all(row.choices.get("data") == "phantom" for one in found for row in one.rows)
    return [LOWER_BOUND, *([PHANTOM] if phantom else [])]


def _answers(found: Sequence[VariantResult], tried: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    leaking = leaking_variants(found)
    others = [one.name for one in found if one.name not in leaking]
    members = [f"Beyond chance: {listing(leaking)}." if leaking else "For no scheme was more than chance shown."]
    members += [f"Not shown to leak, which proves nothing: {listing(others)}."] if others else []
    failed = sum(row["verdict"] == "FAIL" for row in tried)
    crafted = [f"{failed} of {len(tried)} attempts brought a training scan out."] if tried else ["Not tried."]
    return [
        ("Can an attacker tell which scans were trained on?", members),
        ("Can a crafted network read scans?", crafted),
    ]

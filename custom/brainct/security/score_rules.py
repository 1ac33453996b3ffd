"""How scores and counts leave a site by its policy: exact, rounded, noised, or not at all.

Noise: Dwork, Roth: The Algorithmic Foundations of Differential Privacy, 2014, the Gaussian mechanism. The bounds on how
far one scan moves a score are derived in `reach`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from brainct.core.privacy_event import Event

NUMBERS = ("auroc", "balanced_accuracy", "sensitivity_at_90_specificity", "brier", "ece")
NOISED = ("auroc", "balanced_accuracy", "brier")
"""Scores that one scan moves by little; of the others no useful bound is known, so that noise would hide them whole."""
DETAILS = ("confusion", "calibration", "auroc_interval")
"""Counts and bins, from which exact scores follow; they leave with exact scores alone."""
FEW, WITHHELD = "too few scans", "withheld"

Normals = Callable[[int], NDArray[np.float64]]


class ScoreRule(BaseModel):
    """How a site's scores of a model leave.

    form: `exact`; `rounded` to `digits` decimals, without counts and bins; `noised`, of which Gaussian noise makes each
    evaluation a release of mu = 1 / `noise` for one held-out scan, and which are then rounded; `never`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    form: Literal["exact", "rounded", "noised", "never"] = "exact"
    digits: int = Field(2, ge=1, le=6)
    noise: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> "ScoreRule":
        if (self.form == "noised") != (self.noise is not None):
            raise ValueError("form `noised` and `noise`, a number above 0, go together; set both or neither")
        return self

    @property
    def event(self) -> Event | None:
        """What one evaluation gives away, where it is counted."""
        return Event("scores", mu=1 / self.noise) if self.noise is not None else None


def scores_as(
    rule: ScoreRule, least_class: int, scores: Mapping[str, Mapping[str, Any]], normals: Normals
) -> dict[str, Any]:
    """The scores of each finding as the rule lets them out.

    least_class: of a finding with fewer scans with or without it than this, nothing is said. normals: gives as many
    independent standard normal values, that nobody else can guess and that are the same for the same scores.
    """
    told = {finding: _told(rule, least_class, one) for finding, one in scores.items()}
    if rule.noise is None:
        return told
    places = [(finding, name) for finding in sorted(told) for name in NOISED if told[finding][name] is not None]
    # each score's noise is scaled to its own reach, and by the root of their number: together they have mu = 1 / noise
    noise = normals(len(places)) * rule.noise * len(places) ** 0.5
    for (finding, name), value in zip(places, noise.tolist(), strict=True):
        moved = told[finding][name] + reach(name, scores[finding]) * value
        told[finding][name] = round(min(1.0, max(0.0, moved)), rule.digits)
    return told


def reach(name: str, found: Mapping[str, Any]) -> float:
    """How far a score moves when one held-out scan is exchanged for another one of the same label.

    AUROC is a mean over pairs: a scan is in one of n+ (n-) equal shares of them, so 1 / min(n+, n-). Balanced accuracy
    is half of each class's share: 1 / (2 min(n+, n-)). Brier score: a mean of n values in [0, 1], 1 / n.
    """
    positives, negatives = int(found["positives"]), int(found["negatives"])
    fewest = max(1, min(positives, negatives))
    scans: int = max(1, positives + negatives)
    return {"auroc": 1 / fewest, "balanced_accuracy": 0.5 / fewest, "brier": 1 / scans}[name]


def _told(rule: ScoreRule, least_class: int, found: Mapping[str, Any]) -> dict[str, Any]:
    if rule.form == "never":
        return _without(found, WITHHELD)
    if least_class > 1 and min(found["positives"], found["negatives"]) < least_class:
        return _without(found, FEW)
    if rule.form == "exact":
        return dict(found)
    kept = {name: _rounded(found[name], rule) for name in NUMBERS}
    if rule.form == "noised":
        kept = {name: found[name] if name in NOISED else None for name in NUMBERS}
    return {**found, **kept, **dict.fromkeys(DETAILS)}


def _rounded(value: float | None, rule: ScoreRule) -> float | None:
    return None if value is None else round(value, rule.digits)


SAID = (*NUMBERS, *DETAILS, "positives", "negatives", "unlabelled", "reason")
"""All that an evaluation says of a finding."""


def nothing_of(findings: Sequence[str]) -> dict[str, Any]:
    """The scores of these findings where the policy lets none out, whatever they are, or whether there are any."""
    return {finding: _without(dict.fromkeys(SAID), WITHHELD) for finding in findings}


def _without(found: Mapping[str, Any], why: str) -> dict[str, Any]:
    """No score and no count, with the reason."""
    return {**dict.fromkeys(found), "reason": why}


def counts_as(least_class: int, about: Mapping[str, Any], terms: str) -> dict[str, Any]:
    """What a site says at the roll call: counts of at least this many, and in words the policy's own terms.

    With exact counts, warnings about the data leave as well; else they would tell which counts are small.
    """
    if least_class <= 1:
        return {**about, "notes": [*about["notes"], terms]}
    folds = {name: _large(fold, least_class) for name, fold in about["folds"].items()}
    return {**about, "folds": folds, "notes": [terms]}


def _large(fold: Mapping[str, Any], least_class: int) -> dict[str, Any]:
    """A fold's counts; of a finding that lacks one side the other is left out too, as it would give that."""
    both = ("positives", "negatives")
    large = [finding for finding in fold[both[0]] if min(fold[side][finding] for side in both) >= least_class]
    return {**fold, **{side: {finding: fold[side][finding] for finding in large} for side in both}}

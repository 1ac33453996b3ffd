"""What a site may say of its head CT scans and of a model's scores on them."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from brainct.core.reply_parts import Count, FoldName, Part, Share
from brainct.ct.folds import FINDINGS

Finding = Annotated[str, AfterValidator(lambda name: _known(name))]
Counts = dict[Finding, Count]
REASONS = Literal["no labelled scan", "no positive scan", "no negative scan", "too few scans", "withheld"]


def _known(name: str) -> str:
    if name not in FINDINGS:
        raise ValueError(f"wanted one of {', '.join(FINDINGS)}")
    return name


class FoldCounts(Part):
    """Scans of a fold: all, and with and without each finding."""

    scans: Count
    positives: Counts
    negatives: Counts


class Description(Part):
    """A site's scans by fold."""

    folds: dict[FoldName, FoldCounts]


class Bin(Part):
    """One bin of a calibration curve."""

    low: Share
    high: Share
    scans: Count
    mean_probability: Share
    positives: Count


class Score(Part):
    """Scores of one finding, null with a reason where a class is absent (see ct.metrics)."""

    auroc: Share | None
    auroc_interval: Annotated[list[Share], Field(min_length=2, max_length=2)] | None
    sensitivity_at_90_specificity: Share | None
    ece: Share | None
    calibration: Annotated[list[Bin], Field(max_length=100)] | None
    confusion: dict[Literal["tp", "fp", "tn", "fn"], Count] | None
    balanced_accuracy: Share | None
    brier: Share | None
    positives: Count | None
    negatives: Count | None
    unlabelled: Count | None
    reason: REASONS | None


def _with_any(scores: dict[str, Any]) -> dict[str, Any]:
    if "any" not in scores:
        raise ValueError("wanted scores of `any` among them")
    return scores


class Scores(Part):
    """Scores of each finding, `any` among them."""

    scores: Annotated[dict[Finding, Score], AfterValidator(_with_any)]

"""What a site may say of its head CT scans and of a model's scores on them."""

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, create_model

from brainct.core.reply_parts import Count, FoldName, Part, Share
from brainct.ct.folds import FINDINGS

REASONS = Literal["no labelled scan", "no positive scan", "no negative scan", "too few scans", "withheld"]


def _one_of(names: tuple[str, ...]) -> Any:
    def known(name: str) -> str:
        if name not in names:
            raise ValueError(f"wanted one of {', '.join(names)}")
        return name

    return Annotated[str, AfterValidator(known)]


@cache
def description_of(findings: tuple[str, ...]) -> type[Part]:
    """A site's scans by fold: all, and with and without each of these findings."""
    counts: Any = dict[_one_of(findings), Count]  # type: ignore[misc]
    fold: Any = create_model("FoldCounts", __base__=Part, scans=(Count, ...), positives=counts, negatives=counts)
    return create_model("Description", __base__=Part, folds=dict[FoldName, fold])


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


@cache
def scores_of(outputs: tuple[str, ...]) -> type[Part]:
    """Scores of some of these outputs, of `any` if it is one of them."""

    def enough(scores: dict[str, Any]) -> dict[str, Any]:
        if not scores or ("any" in outputs and "any" not in scores):
            raise ValueError("wanted scores, those of `any` among them")
        return scores

    each: Any = dict[_one_of(outputs), Score]  # type: ignore[misc]
    return create_model("Scores", __base__=Part, scores=Annotated[each, AfterValidator(enough)])


Description = description_of(FINDINGS)
Scores = scores_of(FINDINGS)
"""For a job that names no findings."""

"""What a site may say of a model's masks; of its scans it says what head CT says."""

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, create_model

from brainct.core.reply_parts import Count, Part, Share

REASONS = Literal["no labelled scan", "no positive scan", "too few scans", "withheld"]

Millimetres = Annotated[float, Field(ge=0, le=1e6)]


class Score(Part):
    """See segment.metrics."""

    dice: Share | None
    surface_dice: Share | None
    hausdorff95: Millimetres | None
    surface_distance: Millimetres | None
    false_alarms: Share | None
    positives: Count | None
    negatives: Count | None
    unlabelled: Count | None
    reason: REASONS | None


@cache
def scores_of(findings: tuple[str, ...]) -> type[Part]:
    """Scores of all these findings."""

    def all_of_them(scores: dict[str, Any]) -> dict[str, Any]:
        if set(scores) != set(findings):
            raise ValueError("wanted scores of all findings of the job, and of no other")
        return scores

    return create_model("Scores", __base__=Part, scores=Annotated[dict[str, Score], AfterValidator(all_of_them)])

"""What a site may say of its table and of a model's scores on it."""

from typing import Annotated, Literal

from pydantic import Field

from brainct.core.reply_parts import Count, FoldName, Part, Share

REASONS = Literal["no labelled sample", "a class has no sample", "too few scans", "withheld"]
Number = Annotated[float, Field(ge=-1e300, le=1e300)]
NotNegative = Annotated[float, Field(ge=0, le=1e300)]
Columns = Annotated[int, Field(ge=1, le=10**4)]


class FoldCounts(Part):
    """Samples of a fold: all, those with a label, and those of each output by its place; None where withheld."""

    samples: Count
    labelled: Count
    classes: Annotated[list[Count | None], Field(max_length=100)]


class Sums(Part):
    """Of each column over the training fold: see table.scaler."""

    count: Annotated[list[Count], Field(max_length=10**4)]
    sum: Annotated[list[Number], Field(max_length=10**4)]
    scatter: Annotated[list[NotNegative], Field(max_length=10**4)]


class Description(Part):
    """A site's samples by fold, and the sums of its columns if the job standardises them."""

    folds: dict[FoldName, FoldCounts]
    sums: Sums | None = None


class Score(Part):
    """See table.metrics."""

    auroc: Share | None
    accuracy: Share | None
    log_loss: NotNegative | None
    rmse: NotNegative | None
    samples: Count | None
    fewest: Count | None
    unlabelled: Count | None
    reason: REASONS | None


class Scores(Part):
    """Scores over all outputs."""

    scores: dict[Literal["all"], Score]

"""Everything that a table adds to the list of what leaves a site, and the scores that a policy may round or noise."""

from collections.abc import Mapping
from typing import Any

from brainct.core.disclosure import CALL, NOISED, SCORES, WITHHELD, Row
from brainct.core.workload import ScoreKeys

COUNTED = "`least_class`: withheld where one of them is fewer"
NEVER = "`training`, `noise`, `secure_aggregation`: such a job is refused"
SHARE, NUMBER, POSITIVE = "number in [0, 1]", "number", "number >= 0"

ROWS = (
    Row(CALL, "about/folds/{fold}/samples", "samples in each fold", "count", "exact"),
    Row(CALL, "about/folds/{fold}/labelled", "of these, how many have a label", "count", "exact"),
    Row(CALL, "about/folds/{fold}/classes/{n}", "samples of each class", "count", "exact", COUNTED),
    Row(CALL, "about/sums/count/{n}", "values of each column in the training fold, if the job standardises", "count",
        "exact", NEVER),
    Row(CALL, "about/sums/sum/{n}", "their sum", NUMBER, "exact", NEVER),
    Row(CALL, "about/sums/scatter/{n}", "sum of their squared deviations from their mean", POSITIVE, "exact", NEVER),
    Row(SCORES, "scores/all/auroc", "AUROC on held-out samples", SHARE, "exact", NOISED),
    Row(SCORES, "scores/all/accuracy", "accuracy", SHARE, "exact", NOISED),
    Row(SCORES, "scores/all/log_loss", "logarithmic loss", POSITIVE, "exact", NOISED),
    Row(SCORES, "scores/all/rmse", "root of the mean squared error", POSITIVE, "exact", NOISED),
    Row(SCORES, "scores/all/samples", "held-out samples with a label", "count", "exact", WITHHELD),
    Row(SCORES, "scores/all/fewest", "those of the rarest class", "count", "exact", WITHHELD),
    Row(SCORES, "scores/all/unlabelled", "those without a label", "count", "exact", WITHHELD),
    Row(SCORES, "scores/all/reason", "why a score is missing", "word", "exact"),
)  # fmt: skip


def _auroc(found: Mapping[str, Any]) -> float:
    """A sample is in one of as many equal shares of the pairs as its class has samples: 1 / fewest."""
    return 1 / max(1, int(found["fewest"]))


def _accuracy(found: Mapping[str, Any]) -> float:
    """A mean of n values in [0, 1]: 1 / n."""
    return 1 / max(1, int(found["samples"]))


SCORE_KEYS = ScoreKeys(
    numbers={"auroc": _auroc, "accuracy": _accuracy, "log_loss": None, "rmse": None},
    details=(),
    classes=("samples", "fewest"),
)

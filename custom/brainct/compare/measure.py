"""The score by which the schemes of a comparison are ranked, for each workload that can be compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Measure:
    """What a workload's runs are compared by.

    score: key of the score among an output's scores; higher is better, and chance is at or above 0. title: its name on
    pages. loss: key of a score that is lower where predictions are better, which decides between equal scores. output:
    whose scores count. subject: what the output is, in words. positive: an answer above the threshold. others: further
    scores of a leaderboard by the head of their column. reading: the scores in a sentence.
    """

    score: str
    title: str
    loss: str
    output: str
    subject: str
    positive: str
    others: Mapping[str, str]
    reading: str


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "ct": Measure(
            score="auroc",
            title="AUROC",
            loss="brier",
            output="any",
            subject="any bleeding",
            positive="bleeding",
            others={"Brier": "brier", "ECE": "ece"},
            reading="AUROC, Brier score and calibration error (ECE, 10 bins) of any bleeding",
        ),
        "table": Measure(
            score="auroc",
            title="AUROC",
            loss="log_loss",
            output="all",
            subject="the classes",
            positive="positive",
            others={"accuracy": "accuracy", "log loss": "log_loss"},
            reading="AUROC (of several classes the mean of each against the rest), accuracy and log loss",
        ),
    }
)
"""By the workload's name in the job."""


def measure_of(plan: Mapping[str, Any]) -> Measure:
    """The measure of a run by its plan, of which old records may lack the workload, and others may have any."""
    workload = plan.get("workload", "ct")
    return MEASURES.get(workload if isinstance(workload, str) else "ct", MEASURES["ct"])

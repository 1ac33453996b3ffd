"""The check of a report before a scheme combines it: its tensors, numbers and count of examples."""

import math
from collections.abc import Mapping
from typing import Any

import torch

from brainct.core.scheme import Report, Scheme, Task
from brainct.core.weights import Weights, check_finite, check_weights
from brainct.errors import Refused

METRICS = ("loss", "personal_loss", "distance")
"""The names of metrics: the mean training loss, that of a personal model, the distance between two models. A scheme
with another metric adds its name here: a name that a site chooses might identify a person.
"""
MOST = 10**9
"""The largest count of scans or steps, and the largest of all other whole numbers outside the weights."""
LARGEST = 1e4
"""The largest value of a report, in units of its task's largest value, or 1, for each scan behind the report.

Training moves a weight by about the learning rate in a step, so an honest model grows by far less in a round, and one
that grew more has diverged; sums over scans, which some schemes send, grow with the scans. The limit keeps values that
would overflow out of a mean; values below it may still be false, and only the robust schemes help against them.
"""


def check_report(report: Report, task: Task, scheme: Scheme, whose: str) -> None:
    """Refuse a report whose tensors, numbers or count of examples a scheme can't use. whose: starts the sentence."""
    examples = report.examples
    if isinstance(examples, bool) or not isinstance(examples, int) or not 1 <= examples <= MOST:
        raise Refused(f"{whose}: reports {examples!r:.80} examples; wanted a whole number of at least 1, at most 10^9")
    if not isinstance(report.weights, Mapping) or not all(torch.is_tensor(value) for value in report.weights.values()):
        raise Refused(f"{whose}: the report's weights are not tensors by name")
    try:
        wanted = scheme.expects(task, report)
    except Refused as refusal:
        raise Refused(f"{whose}: {refusal}") from None
    check_weights(report.weights, wanted, whose)
    _check_size(report.weights, LARGEST * max(1.0, *map(_largest, task.weights.values()), 0.0) * examples, whose)
    if not isinstance(report.extra, Mapping) or not isinstance(report.metrics, Mapping):
        raise Refused(f"{whose}: the report's extra or metrics are not values by name")
    for name, value in report.metrics.items():
        if name not in METRICS or isinstance(value, bool) or not isinstance(value, int | float):
            raise Refused(f"{whose}: a metric is not a number under a name such as loss; its name is not repeated here")
    _check_numbers(report.extra, f"{whose}: extra")
    _check_numbers(report.metrics, f"{whose}: metrics")


def _check_size(weights: Weights, limit: float, whose: str) -> None:
    for key, value in weights.items():
        if (largest := _largest(value)) > limit:
            raise Refused(
                f"{whose}: tensor {key} holds {largest:.3g}; wanted nothing above {limit:.3g}: did training diverge?"
            )


def _largest(value: torch.Tensor) -> float:
    return float(value.abs().max()) if value.numel() and value.is_floating_point() else 0.0


def _check_numbers(value: Any, what: str) -> None:
    if isinstance(value, torch.Tensor):
        check_finite(value, what)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _check_numbers(item, f"{what}/{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_numbers(item, f"{what}/{index}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise Refused(f"{what} is {value}; wanted a finite number")
    elif isinstance(value, int) and abs(value) > MOST:
        raise Refused(f"{what} is a whole number of {value.bit_length()} bits; wanted at most {MOST:,} in size")

"""Refuses a report whose tensors, numbers or count of examples no scheme could trust."""

import math
from collections.abc import Mapping
from typing import Any

import torch

from brainct.core.scheme import Report, Scheme, Task
from brainct.core.weights import Weights, check, finite
from brainct.errors import Refused

METRICS = ("loss", "personal_loss", "distance")
"""What a number that a site measured may be called: the mean training loss, that of a model of its own, how far a model
is from another. A scheme that measures something else adds its name; words of a site's own choice might name somebody.
"""
MOST = 10**9
"""No count of scans or steps is larger, and no other whole number beside the weights."""
LARGEST = 1e4
"""How many times as large as its task's largest value, or 1, a report's values may be, for each scan behind it.

Training moves a weight by about the learning rate in a step, so an honest model grows by far less in a round, and one
that grew more has diverged; sums over scans, which some schemes send, grow with the scans. The limit keeps what would
overflow out of a mean; a value below it may still be a lie, against which only the robust schemes help.
"""


def check_report(report: Report, task: Task, scheme: Scheme, whose: str) -> None:
    """The guard at the door: refuse a report whose tensors, numbers or count of examples a scheme could not trust."""
    examples = report.examples
    if isinstance(examples, bool) or not isinstance(examples, int) or not 1 <= examples <= MOST:
        raise Refused(f"{whose}: reports {examples!r:.80} examples; wanted a whole number of at least 1, at most 10^9")
    if not isinstance(report.weights, Mapping) or not all(torch.is_tensor(value) for value in report.weights.values()):
        raise Refused(f"{whose}: the report's weights are no tensors by name")
    try:
        wanted = scheme.expects(task, report)
    except Refused as refusal:
        raise Refused(f"{whose}: {refusal}") from None
    check(report.weights, wanted, whose)
    _check_size(report.weights, LARGEST * max(1.0, *map(_largest, task.weights.values()), 0.0) * examples, whose)
    if not isinstance(report.extra, Mapping) or not isinstance(report.metrics, Mapping):
        raise Refused(f"{whose}: the report's extra or metrics are no values by name")
    for name, value in report.metrics.items():
        if name not in METRICS or isinstance(value, bool) or not isinstance(value, int | float):
            raise Refused(f"{whose}: a metric is no number under a name such as loss; its name is not repeated here")
    _check_finite(report.extra, f"{whose}: extra")
    _check_finite(report.metrics, f"{whose}: metrics")


def _check_size(weights: Weights, limit: float, whose: str) -> None:
    for key, value in weights.items():
        if (largest := _largest(value)) > limit:
            raise Refused(
                f"{whose}: tensor {key} holds {largest:.3g}; wanted nothing above {limit:.3g}: did training diverge?"
            )


def _largest(value: torch.Tensor) -> float:
    return float(value.abs().max()) if value.numel() and value.is_floating_point() else 0.0


def _check_finite(value: Any, what: str) -> None:
    if isinstance(value, torch.Tensor):
        finite(value, what)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _check_finite(item, f"{what}/{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_finite(item, f"{what}/{index}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise Refused(f"{what} is {value}; wanted a finite number")
    elif isinstance(value, int) and abs(value) > MOST:
        raise Refused(f"{what} is a whole number of {value.bit_length()} bits; wanted at most {MOST:,} in size")

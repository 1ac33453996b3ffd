"""bf16 on the wire, around any scheme: weights travel in two bytes a number, and are computed with in four.

bfloat16 (Kalamkar et al., A Study of BFLOAT16 for Deep Learning Training, 2019) keeps float32's range and 8 bits of its
24 of precision: a weight moves by at most 1/256 of itself, rounded to nearest, even.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from brainct.core.learner import Learner
from brainct.core.scheme import About, ClientState, Inner, Memory, Report, Scheme, Task, registered
from brainct.core.weights import Weights
from brainct.errors import Refused
from brainct.schemes.fedavg import fedavg

ABOUT = About(
    paper="Kalamkar et al., arXiv 1905.12322, 2019",
    family="wrappers",
    summary="The inner scheme's float32 weights are rounded to bfloat16 before they travel, both ways.",
    when="models are large or lines are slow: half the bytes",
    sends="half the bytes of the inner scheme's weights; what it sends besides weights is unchanged",
    client_state="as the inner scheme",
    lost_site="as the inner scheme",
    privacy="as the inner scheme; rounding hides nothing",
    blocks={"secure_aggregation": "masks take eight bytes a number whatever its type, so nothing would be saved"},
)
FEDAVG = fedavg()


@registered(ABOUT)
def bf16(inner: Inner = FEDAVG) -> Scheme:
    """The inner scheme, whose tasks and reports carry each float32 tensor in bfloat16.

    inner: the scheme that trains; in a job {"scheme": NAME, "arguments": {...}}. Refused: one that hides updates, such
    as secagg, whose sums are over whole numbers.

    The server's memory and each site's training stay in float32, so that rounding is of what travels alone and does not
    add up within a round. The delivered model is the inner scheme's, in float32. Peak memory: the inner scheme's, and a
    round's reports in 2 bytes a number.
    """
    if inner.hides_updates:
        raise Refused(f"bf16: inner is {inner.name}, which sends sums of whole numbers; wanted a scheme of weights")

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        return _sent(inner.assign(memory, round, sites))

    def reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
        report, state = inner.reply(_whole(task), learner, client_state)
        return replace(report, weights=halved(report.weights)), state

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        return inner.combine(memory, round, {site: _read(report) for site, report in reports.items()})

    def expects(task: Task, report: Report) -> Weights:
        return halved(inner.expects(_whole(task), _read(report)))

    def follow(memory: Memory, round: int, reports: Mapping[str, Report]) -> Mapping[str, Task]:
        return _sent(inner.follow(memory, round, {site: _read(report) for site, report in reports.items()}))

    def sent_model(task: Task, report: Report) -> Weights:
        assert inner.sent_model is not None
        return inner.sent_model(_whole(task), _read(report))

    def sent_gradient(given: Weights, sent: Weights, like: Weights) -> tuple[Weights, Weights]:
        assert inner.sent_gradient is not None
        return inner.sent_gradient(Widened(given), Widened(sent), like)

    six = replace(inner, assign=assign, reply=reply, combine=combine, expects=expects, follow=follow)
    seven = replace(six, sent_model=sent_model if inner.sent_model else None)
    return replace(seven, sent_gradient=sent_gradient if inner.sent_gradient else None)


class Widened(Mapping[str, Tensor]):
    """Weights whose bfloat16 tensors are float32, one tensor at a time as they are asked for."""

    def __init__(self, weights: Weights):
        self._weights = weights

    def __getitem__(self, key: str) -> Tensor:
        value = self._weights[key]
        return value.float() if value.dtype is torch.bfloat16 else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)


def halved(weights: Weights) -> dict[str, Tensor]:
    """The weights with each float32 tensor in bfloat16; the others stay."""
    return {key: value.bfloat16() if value.dtype is torch.float32 else value for key, value in weights.items()}


def _sent(tasks: Mapping[str, Task]) -> dict[str, Task]:
    """The tasks as they travel; sites that get the same weights still share them."""
    seen: dict[int, dict[str, Tensor]] = {}
    for task in tasks.values():
        if id(task.weights) not in seen:
            seen[id(task.weights)] = halved(task.weights)
    return {site: replace(task, weights=seen[id(task.weights)]) for site, task in tasks.items()}


def _whole(task: Task) -> Task:
    return replace(task, weights=dict(Widened(task.weights)))


def _read(report: Report) -> Report:
    followed = None if report.followed is None else _read(report.followed)
    return replace(report, weights=Widened(report.weights), followed=followed)

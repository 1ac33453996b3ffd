"""What a server may ask of a site: to describe its data, to train, to evaluate a model; typed, and as plain data.

A server that cheats may send any bytes. What is checked here follows from the request alone: no sample has been looked
at, so the reason may be said to the server in words.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import torch

from brainct.core import serialization
from brainct.core.scheme import Task
from brainct.errors import Declined, one_line

HELD_OUT = ("valid", "test")
"""Folds on which a site evaluates a model; scores on the training fold could describe single patients."""
LAST = 10**9
LONGEST = 1000
"""Characters of an exchange's name, which a site repeats in its reply."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Request:
    """run: its name. exchange: names the exchange, as the reply does. sites: of the run. plan: the job's choices."""

    run: str
    exchange: str
    sites: tuple[str, ...]
    plan: Mapping[str, Any]
    kind: ClassVar[str]

    def known(self) -> dict[str, Any]:
        """All that a reply may depend on; the exchange's name is not, which a resumed run repeats."""
        return {"kind": self.kind, "sites": self.sites, "plan": self.plan}

    @cached_property
    def digest(self) -> str:
        """64 hex digits over `known`, computed once."""
        return serialization.sha256(self.known())


@dataclass(frozen=True, kw_only=True, eq=False)
class DescribeRequest(_Request):
    """The roll call, before round 0. new: the run begins; false where it resumes."""

    new: bool = True
    kind: ClassVar[str] = "describe"
    round: ClassVar[int] = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainRequest(_Request):
    """A scheme's task in a round. step: 1 in the round's follow-up exchange, else 0. shared: see Workload.shared."""

    round: int
    task: Task
    step: int = 0
    shared: Mapping[str, Any] = field(default_factory=dict)
    kind: ClassVar[str] = "train"

    def known(self) -> dict[str, Any]:
        """See _Request.known."""
        return {**super().known(), **_model(self), "step": self.step}


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluateRequest(_Request):
    """The delivered model, to be scored on a held-out fold after a round. shared: see Workload.shared.

    of: the site that sent the model, in a cross-site evaluation; empty for the delivered model.
    """

    round: int
    fold: str
    task: Task
    shared: Mapping[str, Any] = field(default_factory=dict)
    of: str = ""
    kind: ClassVar[str] = "evaluate"

    def known(self) -> dict[str, Any]:
        """See _Request.known."""
        return {**super().known(), **_model(self), "fold": self.fold, **({"of": self.of} if self.of else {})}


ModelRequest = TrainRequest | EvaluateRequest
Request = DescribeRequest | TrainRequest | EvaluateRequest
TYPES: Mapping[str, type[DescribeRequest] | type[TrainRequest] | type[EvaluateRequest]] = {
    one.kind: one for one in (DescribeRequest, TrainRequest, EvaluateRequest)
}


def _model(request: ModelRequest) -> dict[str, Any]:
    return {"round": request.round, "task": task_to_plain(request.task), "shared": request.shared}


def task_of(request: Request) -> Task:
    """The request's task; an empty one at the roll call."""
    return Task({}) if isinstance(request, DescribeRequest) else request.task


def task_to_plain(task: Task) -> dict[str, Any]:
    """A task as plain data."""
    return {"weights": task.weights, "extra": task.extra}


def request_to_plain(request: Request) -> dict[str, Any]:
    """A request as plain data, of one level: nothing in it is copied."""
    plain = {name: getattr(request, name) for name in ("kind", *_FIELDS[request.kind])}
    return plain | ({} if isinstance(request, DescribeRequest) else {"task": task_to_plain(request.task)})


def request_of_plain(value: Any, site: str) -> Request:
    """The request to this site in a server's message; Declined, with what is wrong, if an honest server sends none
    such."""
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if not isinstance(kind, str) or kind not in TYPES:
        raise Declined(f"the server's request is {one_line(kind)!r}; wanted one of {', '.join(TYPES)}")
    if kind == "evaluate" and value.get("fold") not in HELD_OUT:
        raise Declined(
            f"the server asks for scores on fold {one_line(value.get('fold'))!r}; wanted {' or '.join(HELD_OUT)}"
        )
    checks = _FIELDS[kind]
    wrong = [name for name, sound in checks.items() if name not in value or not sound(value[name])]
    wrong += ["keys"] * (not set(value) <= {"kind", *checks})
    if not wrong and site not in value["sites"]:
        wrong = ["sites"]
    if wrong:
        raise Declined(f"the server's request has no usable {', '.join(wrong)}; is it another version of brainct?")
    found = {name: value[name] for name in checks} | {"sites": tuple(value["sites"])}
    if "task" in found:
        found["task"] = Task(found["task"]["weights"], found["task"]["extra"])
    return TYPES[kind](**found)


def exchange_of(value: Any) -> str:
    """The exchange that a message names, by which a reply is filed; empty where it names none."""
    name = value.get("exchange") if isinstance(value, Mapping) else None
    return name if isinstance(name, str) and _exchange(name) else ""


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _exchange(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and len(value) <= LONGEST


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LAST


def _names(value: Any) -> bool:
    known = isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)
    return known and len(set(value)) == len(value)


def _table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_task(value: Any) -> bool:
    if not isinstance(value, Mapping) or set(value) != {"weights", "extra"}:
        return False
    weights, extra = value["weights"], value["extra"]
    return isinstance(weights, Mapping) and isinstance(extra, Mapping) and all(map(torch.is_tensor, weights.values()))


_COMMON: dict[str, Callable[[Any], bool]] = {"run": _text, "exchange": _exchange, "sites": _names, "plan": _table}
_MODEL: dict[str, Callable[[Any], bool]] = {**_COMMON, "round": _whole, "task": _is_task, "shared": _table}
_FIELDS: dict[str, dict[str, Callable[[Any], bool]]] = {
    "describe": {**_COMMON, "new": lambda value: isinstance(value, bool)},
    "train": {**_MODEL, "step": lambda value: _whole(value) and value <= 1},
    "evaluate": {**_MODEL, "fold": lambda value: value in HELD_OUT, "of": _text},
}
"""Of each kind of request its fields, and whether a value can be one."""

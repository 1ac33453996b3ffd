"""What a site may reply: a description of its data, an update, scores, or why not; typed, and as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from brainct.core.weights import Weights
from brainct.errors import Refused, one_line


@dataclass(frozen=True)
class Description:
    """about: the site's data in counts, see protocol.reply_schema."""

    about: Mapping[str, Any]


@dataclass(frozen=True)
class Update:
    """A scheme's report, as core.scheme.Report has it."""

    weights: Weights
    examples: int
    metrics: Mapping[str, float]
    extra: Mapping[str, Any]


@dataclass(frozen=True)
class Scores:
    """scores: of the model for each output, see Workload.scores."""

    scores: Mapping[str, Any]


@dataclass(frozen=True)
class Failure:
    """reason: why the site does not do what it was asked, in one sentence."""

    reason: str


Reply = Description | Update | Scores | Failure
R = TypeVar("R", bound=Description | Update | Scores)
BY_KIND: Mapping[str, type[Description] | type[Update] | type[Scores]] = {
    "describe": Description,
    "train": Update,
    "evaluate": Scores,
}
"""What a request of each kind is replied to with, unless the site fails."""


def reply_to_plain(reply: Reply, exchange: str) -> dict[str, Any]:
    """A reply as plain data, of one level: nothing in it is copied. exchange: of the request."""
    if isinstance(reply, Failure):
        return {"error": reply.reason, "exchange": exchange}
    return {**content_of(reply), "exchange": exchange}


def content_of(reply: Description | Update | Scores) -> dict[str, Any]:
    """The reply's own fields, by name."""
    return {field.name: getattr(reply, field.name) for field in fields(reply)}


def failure_in(value: Any, whose: str) -> Failure | None:
    """The failure that a message reports; None where it reports none. Refused where it is no message at all."""
    if not isinstance(value, Mapping):
        raise Refused(f"{whose}: the reply is a {type(value).__name__}; wanted a mapping from names to values")
    return Failure(one_line(value["error"])) if "error" in value else None


def reply_of_plain(value: Mapping[str, Any], wanted: type[R], whose: str) -> R:
    """The reply of this type in a message; what else is in the message is left out. Its values are not checked."""
    names = [field.name for field in fields(wanted)]
    if missing := [name for name in names if name not in value]:
        raise Refused(f"{whose}: the reply lacks {', '.join(missing)}; is it another version of brainct?")
    return wanted(**{name: value[name] for name in names})

"""What a site may say at the roll call and at an evaluation: these keys and no others, so that nobody can be named."""

from collections.abc import Collection, Mapping
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from brainct.core.reply_parts import Count, Fingerprint, Line, Package, Part
from brainct.core.workload import Workload
from brainct.errors import Refused


class _Public(Part):
    scans: Count
    fingerprint: Fingerprint


class _Check(Part):
    verdict: Literal["PASS", "WARN", "FAIL"]
    time: Annotated[str, Field(pattern=r"^[0-9T:+-]{25}$")]
    package: Package


class _Kept(Part):
    round: Annotated[int, Field(ge=-1, le=10**9)]
    empty: bool


class Description(Part):
    """What every site says at the roll call; a workload adds its own counts."""

    kind: Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")]
    fingerprint: Fingerprint
    notes: Annotated[list[Line], Field(max_length=100)]
    public: _Public | None = None
    package: Package | None = None
    check: _Check | None = None
    kept: _Kept | None = None


@cache
def _description(own: type[BaseModel]) -> type[BaseModel]:
    """The description with the workload's own counts."""
    return type(own.__name__, (Description, own), {"__doc__": own.__doc__, "__module__": __name__})


def described(workload: Workload, site: str, answer: Mapping[str, Any], needed: Collection[str] = ()) -> dict[str, Any]:
    """A site's reply at the roll call, checked: a kind, fingerprints, notes in words, and the workload's counts.

    needed: keys that this run needs, in addition to those that every run needs.
    """
    found = _checked(_description(workload.description), answer.get("about"), f"{site}, the roll call")
    said = {key: value for key, value in found.items() if value is not None}
    if missing := [key for key in needed if key not in said]:
        raise Refused(f"{site}, the roll call: lacks {', '.join(missing)}; is it another version of brainct?")
    return said


def scored(workload: Workload, site: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """A site's scores of a model, checked: for each output what the workload says of it."""
    given = {"scores": answer.get("scores")}
    found: dict[str, Any] = _checked(workload.scores, given, f"{site}, its scores")["scores"]
    return found


def _checked(kind: type[BaseModel], answer: object, whose: str) -> dict[str, Any]:
    try:
        return kind.model_validate(answer).model_dump(exclude_unset=True)
    except ValidationError as error:
        found = len(error.errors())
        raise Refused(
            f"{whose}: {found} keys or values are none that a site may send (see protocol.reply_schema); they are not "
            "repeated here, as they might name a patient"
        ) from None

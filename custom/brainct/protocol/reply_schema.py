"""The schema of a description and of scores: these keys and no others, so that a reply can't name a patient."""

from collections.abc import Collection, Mapping
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from brainct.core.reply_parts import Count, Fingerprint, Line, Package, Part
from brainct.core.workload import Workload
from brainct.errors import Refused
from brainct.protocol.replies import Description, Scores, reply_of_plain


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


class DescriptionSchema(Part):
    """What every site says at the roll call; a workload adds its own counts. kept: of the run's client state."""

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
    return type(own.__name__, (DescriptionSchema, own), {"__doc__": own.__doc__, "__module__": __name__})


def described(
    workload: Workload, site: str, value: Mapping[str, Any], choices: Any, needed: Collection[str] = ()
) -> dict[str, Any]:
    """A site's reply at the roll call, checked: a kind, fingerprints, notes in words, and the workload's counts.

    choices: the run's, of the workload. needed: keys that this run needs, in addition to those that every run needs.
    """
    whose = f"{site}, the roll call"
    given = reply_of_plain(value, Description, whose).about
    known = _checked(_description(workload.description_of(choices)), given, whose)
    about = {key: each for key, each in known.items() if each is not None}
    if missing := [key for key in needed if key not in about]:
        raise Refused(f"{whose}: lacks {', '.join(missing)}; is it another version of brainct?")
    return about


def scored(workload: Workload, site: str, value: Mapping[str, Any], choices: Any) -> dict[str, Any]:
    """A site's scores of a model, checked: for each output what the workload says of it."""
    whose = f"{site}, its scores"
    given = {"scores": reply_of_plain(value, Scores, whose).scores}
    found: dict[str, Any] = _checked(workload.scores_of(choices), given, whose)["scores"]
    return found


def _checked(schema: type[BaseModel], value: object, whose: str) -> dict[str, Any]:
    try:
        return schema.model_validate(value).model_dump(exclude_unset=True)
    except ValidationError as error:
        raise Refused(
            f"{whose}: {len(error.errors())} keys or values are not allowed by the schema (protocol.reply_schema); "
            "they are not repeated here because they may name a patient"
        ) from None

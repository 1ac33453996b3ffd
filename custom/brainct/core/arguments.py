"""A scheme's arguments: the types that state their ranges, the check against them, and their JSON schema."""

import functools
import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from brainct.errors import Refused, shown

WANTED = "wanted"
"""In a type's JSON schema: its range in words, where the words that follow from its numbers would not be enough."""
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, le=1)]
AtLeastHalf = Annotated[float, Field(ge=0.5, le=1)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]
WeightBy = Literal["examples", "equal"]
Period = Annotated[
    Annotated[int, Field(ge=1)] | None,
    Field(json_schema_extra={WANTED: "a whole number of rounds of at least 1, or null for never"}),
]
ModulePaths = Annotated[
    Sequence[Annotated[str, Field(min_length=1)]],
    Field(json_schema_extra={WANTED: "a list of module paths, such as ['head']"}),
]
BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


def one_of(name: str, value: str, choices: Sequence[str]) -> str:
    """A choice among words; Refused where it is none of them."""
    if value not in choices:
        raise Refused(f"{name} is {value!r}; wanted one of {', '.join(choices)}")
    return value


def rounds_of(period: int | None) -> float:
    """A period as a number of rounds: infinity where it is None, for never."""
    return math.inf if period is None else period


def check_arguments(make: Callable[..., object], arguments: Mapping[str, Any]) -> None:
    """Refuse arguments outside the ranges that the types in a factory's signature state; nothing is converted.

    arguments: a value for every parameter. A whole number counts as a number, true and false as neither.
    """
    try:
        _model(make).model_validate(dict(arguments))
    except ValidationError as error:
        ranges = _properties(make)
        wrong = dict.fromkeys(str(finding["loc"][0]) for finding in error.errors())
        found = [f"{name} is {shown(arguments[name])}; wanted {in_words(ranges[name])}" for name in wrong]
        raise Refused(f"{make.__name__}: {'; '.join(found)}") from None


def schema_of(make: Callable[..., object], plain: Callable[[Any], Any]) -> dict[str, Any]:
    """The JSON schema of a factory's arguments: type, range, default and description by name.

    plain: what a default is in JSON. A description is what the factory's docstring says after `name:`.
    """
    properties = {name: dict(one) for name, one in _properties(make).items()}
    described = descriptions(make)
    parameters = inspect.signature(make).parameters
    for name, one in properties.items():
        one |= {"description": described[name]} if name in described else {}
        if parameters[name].default is not inspect.Parameter.empty:
            one["default"] = plain(parameters[name].default)
    required = [name for name, one in properties.items() if "default" not in one]
    return {
        "title": make.__name__,
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": required,
    }


def descriptions(make: Callable[..., object]) -> dict[str, str]:
    """What the docstring says of each argument: after `name:`, or `name, name:`, up to the next one or a blank line."""
    names = "|".join(map(re.escape, inspect.signature(make).parameters))
    found: dict[str, str] = {}
    if not names:
        return found
    mark = re.compile(rf"(?:^|(?<=\s))((?:{names})(?:, (?:{names}))*): ")
    for paragraph in (inspect.getdoc(make) or "").split("\n\n"):
        parts = mark.split(" ".join(paragraph.split()))
        for marked, text in zip(parts[1::2], parts[2::2], strict=True):
            found |= dict.fromkeys(marked.split(", "), text.strip().rstrip("."))
    return found


def in_words(schema: Mapping[str, Any]) -> str:
    """The range that a JSON schema states, such as `a finite number above 0 and at most 1`."""
    if WANTED in schema:
        return str(schema[WANTED])
    if "anyOf" in schema:
        return ", or ".join(in_words(one) for one in schema["anyOf"])
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    bounds = " and ".join(f"{word} {schema[key]:g}" for key, word in BOUNDS.items() if key in schema)
    if schema["type"] == "integer":
        return f"a whole number of {bounds}" if bounds else "a whole number"
    if schema["type"] == "number":
        return f"a finite number {bounds}".rstrip()
    words = {"null": "null", "boolean": "true or false", "string": "a word", "array": "a list of words"}
    return words[schema["type"]]


@functools.cache
def _model(make: Callable[..., object]) -> type[BaseModel]:
    """The signature as a pydantic model, strict: no number from a string, none from true, neither NaN nor infinity."""
    hints = get_type_hints(make, include_extras=True)
    fields: dict[str, Any] = {name: (hints[name], ...) for name in inspect.signature(make).parameters}
    config = ConfigDict(strict=True, allow_inf_nan=False, extra="forbid")
    return create_model(make.__name__, __config__=config, **fields)


@functools.cache
def _properties(make: Callable[..., object]) -> dict[str, dict[str, Any]]:
    """The JSON schema of each argument, without the titles that pydantic makes up."""
    properties = _model(make).model_json_schema().get("properties", {})
    return {name: {key: value for key, value in one.items() if key != "title"} for name, one in properties.items()}

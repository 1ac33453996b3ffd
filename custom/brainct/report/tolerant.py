"""Reading what other parties wrote: bounded printable text, finite numbers, and entries that can't be read left out."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, TypeAdapter, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

LONGEST = 600
"""Characters of any one text that a site sent; the rest is left out."""


def number(value: Any) -> float | None:
    """A finite number, or None for anything else."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else None


def text(value: Any) -> str:
    """Printable text of bounded length: no control characters, text directions or surrogates."""
    shown = "".join(char if char.isprintable() else " " for char in str(value)[: LONGEST + 1])
    return shown if len(shown) <= LONGEST else shown[:LONGEST] + "..."


def cleaned(value: Any) -> Any:
    """JSON with all its strings, keys included, made printable."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Mapping):
        return {text(key): cleaned(item) for key, item in value.items()}
    return [cleaned(item) for item in value] if isinstance(value, list) else value


def readable(kind: Any) -> BeforeValidator:
    """Keeps the entries of a mapping that can be read as this type: one site's nonsense must not hide the others."""
    adapter = TypeAdapter(kind)

    def fits(item: Any) -> bool:
        try:
            adapter.validate_python(item)
        except ValidationError:
            return False
        return True

    def readable_entries(value: Any) -> dict[str, Any]:
        return {key: item for key, item in value.items() if fits(item)} if isinstance(value, Mapping) else {}

    return BeforeValidator(readable_entries)


def _or_none(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except ValidationError:
        return None


Number = Annotated[float | None, BeforeValidator(number)]
"""A finite number; None for anything else."""

OrNone = WrapValidator(_or_none)
"""Reads what can't be read as None."""

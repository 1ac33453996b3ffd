"""JSON that somebody else may have written: of bounded depth, with numbers that can be counted with, or refused."""

import json
import math
from typing import Any

from brainct.errors import Refused

DEEPEST = 64
"""Levels of nesting; what comes from another party could otherwise be nested until Python gives up."""
DIGITS = 20
"""Of a whole number: what 64 bits hold."""


def parsed(content: bytes | str, whose: str, wanted: str) -> Any:
    """The value; refused, with `whose` first and `wanted` last, where it is no JSON, or nested too deeply to be ours.

    Refused too: whole numbers that no 64 bits hold, and NaN and infinity, which JSON does not have.
    """
    try:
        value = json.loads(content, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
    except RecursionError:
        raise Refused(f"{whose} is nested too deeply to be read; wanted {wanted}") from None
    except ValueError as error:
        raise Refused(f"{whose} is not JSON ({error}); wanted {wanted}") from None
    if _deep(value):
        raise Refused(f"{whose} is nested more than {DEEPEST} levels deep; wanted {wanted}")
    return value


def table(content: bytes | str, whose: str, wanted: str) -> dict[str, Any]:
    """Like `parsed`, of a JSON object."""
    value = parsed(content, whose, wanted)
    if not isinstance(value, dict):
        raise Refused(f"{whose} holds {type(value).__name__}; wanted a JSON object: {wanted}")
    return value


def _whole(digits: str) -> int:
    if len(digits.lstrip("-")) > DIGITS:
        raise ValueError(f"a whole number of {len(digits)} digits")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits:.20}")
    return value


def _deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return False
    return True


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []

"""Checks of a scheme's arguments."""

import math
from collections.abc import Sequence

from brainct.errors import Refused


def period(name: str, value: int | None) -> float:
    """A number of rounds, >= 1, or None for never (infinity)."""
    if value is None:
        return math.inf
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Refused(f"{name} is {value!r}; wanted a whole number of rounds of at least 1, or null for never")
    return value


def one_of(name: str, value: str, choices: Sequence[str]) -> str:
    """A choice among words."""
    if value not in choices:
        raise Refused(f"{name} is {value!r}; wanted one of {', '.join(choices)}")
    return value

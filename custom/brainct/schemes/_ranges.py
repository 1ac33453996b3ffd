"""The range of a hyper-parameter, said once: what is outside is refused with what was got and what was wanted."""

import math

from brainct.errors import Refused


def number(
    name: str,
    value: float,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> float:
    """A finite number with value >= least, > above, <= most, < below, as far as they are given."""
    words = [("at least", least), ("above", above), ("at most", most), ("below", below)]
    wanted = " and ".join(f"{word} {bound:g}" for word, bound in words if bound is not None)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Refused(f"{name} is {value!r}; wanted a finite number {wanted}")
    low = (least is None or value >= least) and (above is None or value > above)
    if not low or (most is not None and value > most) or (below is not None and value >= below):
        raise Refused(f"{name} is {value!r}; wanted a finite number {wanted}")
    return value


def whole(name: str, value: int, least: int) -> int:
    """A whole number >= least."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise Refused(f"{name} is {value!r}; wanted a whole number of at least {least}")
    return value

"""The range of a hyper-parameter, and of an optimiser: what is outside is refused with what was got and wanted."""

import math

from brainct.core.learner import Fitted
from brainct.core.scheme import Scheme
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


def a_scheme(name: str, value: object) -> Scheme:
    """A scheme within a scheme."""
    if not isinstance(value, Scheme):
        raise Refused(f'{name} is {value!r}; wanted {{"scheme": NAME, "arguments": {{...}}}}')
    return value


def plain_sgd(name: str, fitted: Fitted) -> Fitted:
    """What training gave, if plain SGD gave it: with another optimiser a change of weights is no sum of gradients."""
    if fitted.optimizer != "sgd":
        raise Refused(
            f"{name} is derived for plain SGD, but training ran with {fitted.optimizer}; set the job's `optimizer` to "
            f"sgd and its `momentum` to 0, or choose a scheme that takes any optimiser, such as fedprox"
        )
    return fitted

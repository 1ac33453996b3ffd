"""The loss between two models of one network along straight paths, on which only some layers move.

w(a) = (1 - a) A + a B, 0 <= a <= 1, and L a loss: a function from weights to a number. Definitions: barriers.measure.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from torch import Tensor

from brainct.core.weights import Weights
from brainct.errors import Refused

Loss = Callable[[Weights], float]
Keys = Collection[str]


@dataclass(frozen=True)
class Choices:
    """How finely to measure.

    points: of each path, both ends included, >= 3. refine: times that the two neighbours halfway to the highest point
    are measured too, >= 0. orders: random orders of the cumulative barrier, >= 1. samples: perturbations of each random
    kind, >= 1. pairs: of models, drawn without replacement, >= 1. seed: of all that is drawn.
    """

    points: int = 11
    refine: int = 3
    orders: int = 2
    samples: int = 3
    pairs: int = 3
    seed: int = 1

    def __post_init__(self) -> None:
        for name, least in (("points", 3), ("refine", 0), ("orders", 1), ("samples", 1), ("pairs", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise Refused(f"--{name} is {getattr(self, name)}; wanted at least {least}")

    @property
    def alphas(self) -> list[float]:
        """The points of a path, from 0 to 1."""
        return [at / (self.points - 1) for at in range(self.points)]


@dataclass(frozen=True)
class Cut:
    """Losses along a path by alpha, at its even points and at those added where it is highest."""

    losses: Mapping[float, float]

    def excess(self, start: float, end: float) -> dict[float, float]:
        """By alpha, the loss over the straight line from `start` to `end`."""
        return {alpha: loss - ((1 - alpha) * start + alpha * end) for alpha, loss in sorted(self.losses.items())}

    def barrier(self, start: float, end: float) -> float:
        """The largest excess over the line between these losses."""
        return max(self.excess(start, end).values())

    def bump(self) -> float:
        """The largest excess over the line between the cut's own ends; never under 0."""
        return self.barrier(self.losses[0.0], self.losses[1.0])


def interpolate(base: Weights, a: Weights, b: Weights, alpha: float, keys: Keys) -> dict[str, Tensor]:
    """The base model with (1 - alpha) a + alpha b in these floating tensors; counters are the base's."""
    return {key: _interpolate_tensor(a[key], b[key], alpha) if key in keys else value for key, value in base.items()}


def _interpolate_tensor(a: Tensor, b: Tensor, alpha: float) -> Tensor:
    return ((1 - alpha) * a.double() + alpha * b.double()).to(a.dtype) if a.is_floating_point() else a


def measure_path(at: Callable[[float], float], choices: Choices, start: float, end: float) -> Cut:
    """Losses along a path; at: alpha -> loss. start, end: of the line over which the highest point is looked for."""
    losses = {alpha: at(alpha) for alpha in choices.alphas}
    step = 1 / (choices.points - 1)
    for _ in range(choices.refine):
        excess, step = Cut(losses).excess(start, end), step / 2
        best = max(excess, key=lambda alpha: excess[alpha])
        losses |= {alpha: at(alpha) for alpha in (best - step, best + step) if 0 < alpha < 1}
    return Cut(losses)


@dataclass(frozen=True)
class Pair:
    """Two models of one network and what is measured between them."""

    a: Weights
    b: Weights
    loss: Loss
    choices: Choices
    loss_a: float
    loss_b: float

    def cut(self, base: Weights, keys: Keys, refine: bool = True) -> Cut:
        """The path on which the layers of these keys go from a to b in the base model."""
        choices = self.choices if refine else Choices(points=self.choices.points, refine=0)
        return measure_path(lambda alpha: self._loss(base, alpha, keys), choices, self.loss_a, self.loss_b)

    def barrier(self, base: Weights, keys: Keys, refine: bool = True) -> float:
        """The barrier of these layers with this base."""
        return self.cut(base, keys, refine).barrier(self.loss_a, self.loss_b)

    def excess(self, cut: Cut) -> list[float]:
        """A cut's excess at the even points."""
        excess = cut.excess(self.loss_a, self.loss_b)
        return [excess[alpha] for alpha in self.choices.alphas]

    def _loss(self, base: Weights, alpha: float, keys: Keys) -> float:
        if base is self.a and alpha == 0:
            return self.loss_a
        if base is self.b and alpha == 1:
            return self.loss_b
        return self.loss(interpolate(base, self.a, self.b, alpha, keys))

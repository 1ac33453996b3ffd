"""The one-dimensional diagonal linear network: f(x) = u v x fitted to f(x) = x, loss (1 - u v)^2; a barrier by hand.

Adilova et al., ICLR 2024, section 4: models that fit perfectly lie on u v = 1. From (s, 1/s) to (1/s, s) the midpoint's
product is (s + 1/s)^2 / 4 > 1, so the straight line has a barrier, while along each layer the loss is a parabola.

    >>> from brainct.barriers.measure import measure_pair
    >>> from brainct.barriers.pair import Choices
    >>> a, b = fitted(2.0), fitted(0.5)
    >>> found = measure_pair(a, b, LAYERS, loss, Choices())
    >>> found["full"]["barrier"] == full_barrier(2.0) == 0.31640625
    True
    >>> found["layers"][0]["bump_a"]
    0.0
"""

import torch

from brainct.core.learner import Layer
from brainct.core.weights import Weights

LAYERS = (Layer("u", "Linear", ("u",)), Layer("v", "Linear", ("v",)))


def fitted(s: float) -> dict[str, torch.Tensor]:
    """The model (s, 1/s), whose loss is 0; s != 0."""
    return {"u": torch.tensor([s], dtype=torch.float64), "v": torch.tensor([1 / s], dtype=torch.float64)}


def loss(weights: Weights) -> float:
    """(1 - u v)^2."""
    return float((1 - weights["u"] * weights["v"]).square())


def full_barrier(s: float) -> float:
    """Between (s, 1/s) and (1/s, s), at the midpoint: ((s + 1/s)^2 / 4 - 1)^2 = ((s - 1/s)^2 / 4)^2."""
    return ((s - 1 / s) ** 2 / 4) ** 2


def layer_barrier(s: float) -> float:
    """With layer u alone going from s to 1/s and v = 1/s: at the far end, (1 - 1/s^2)^2; it is convex on the way."""
    return (1 - 1 / s**2) ** 2

"""FedOpt: an optimiser at the server takes the mean change of the sites' models as its gradient.

Reddi, Charles, Zaheer, Garrett, Rush, Konecny, Kumar, McMahan: Adaptive Federated Optimization, ICLR 2021, Algorithm 2
(FedAdagrad, FedYogi, FedAdam). Hsu, Qi, Brown: Measuring the Effects of Non-Identical Data Distribution for Federated
Visual Classification, arXiv 1909.06335, 2019 (FedAvgM).

All arithmetic is per coordinate, in float64. Counters (integer tensors) never go through an optimiser. The server needs
only the sites' mean.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

from brainct.core.arguments import Fraction, Momentum, Positive, WeightBy
from brainct.core.scheme import About, Scheme, registered
from brainct.schemes._server_step import at_the_server
from brainct.schemes.fedavg import fedavg

AVGM = About(
    paper="Hsu, Qi, Brown, arXiv 2019",
    family="server optimiser",
    summary="FedAvg with momentum at the server: each step continues a part of the steps before it.",
    when="the mean varies from round to round, for example because few sites are asked",
)
ADAM = replace(
    AVGM,
    paper="Reddi et al., ICLR 2021, Algorithm 2",
    summary="FedAvg whose server steps by Adam, with a step size of its own for each weight.",
    when="layers need steps of different sizes, and there are rounds enough to tune `rate`",
)
ADAGRAD = replace(
    ADAM,
    summary="FedAvg whose server steps by Adagrad, with a step size for each weight that only ever shrinks.",
    when="some weights get rare, large changes",
)
YOGI = replace(
    ADAM,
    summary="FedAvg whose server steps by Yogi, a variant of Adam whose step sizes grow more slowly.",
    when="`fedadam` suits, but its steps grow too fast after quiet rounds",
)


@registered(AVGM)
def fedavgm(
    rate: Positive = 1.0, momentum: Momentum = 0.9, fraction: Fraction = 1.0, weight_by: WeightBy = "examples"
) -> Scheme:
    """v <- beta v + Delta, w <- w + eta v, where Delta = sum_k n_k/n (w_k - w).

    rate: eta, > 0.
    momentum: beta in [0, 1); at 0 with rate 1 the result is bit-identical to FedAvg, as all here adds in float64.
    fraction, weight_by: as in `fedavg`.

    Peak memory without the reports: 9 models.
    """

    def rule(change: Tensor, slots: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
        velocity = momentum * slots[0] + change
        return rate * velocity, [velocity]

    return at_the_server(fedavg(fraction, weight_by), rule, [0.0])


@registered(ADAGRAD)
def fedadagrad(
    rate: Positive = 0.01,
    beta1: Momentum = 0.0,
    tau: Positive = 1e-3,
    fraction: Fraction = 1.0,
    weight_by: WeightBy = "examples",
) -> Scheme:
    """v <- v + Delta^2; m and w as in `fedadam`.

    rate, tau, fraction, weight_by: as in `fedadam`.
    beta1: as in `fedadam`; the paper has 0.

    Peak memory without the reports: 11 models.
    """
    return _adaptive(rate, beta1, tau, fraction, weight_by, lambda v, square: v + square)


@registered(ADAM)
def fedadam(
    rate: Positive = 0.01,
    beta1: Momentum = 0.9,
    beta2: Momentum = 0.99,
    tau: Positive = 1e-3,
    fraction: Fraction = 1.0,
    weight_by: WeightBy = "examples",
) -> Scheme:
    """m <- beta1 m + (1 - beta1) Delta, v <- beta2 v + (1 - beta2) Delta^2, w <- w + eta m / (sqrt(v) + tau).

    rate: eta, > 0, about the largest step of a coordinate.
    beta1, beta2: in [0, 1).
    tau: > 0, the change below which a coordinate counts as quiet.
    fraction, weight_by: as in `fedavg`.

    Delta = sum_k n_k/n (w_k - w); m starts at 0 and v at tau^2; as in the paper, neither is corrected for its start.
    Peak memory without the reports: 11 models.
    """
    return _adaptive(rate, beta1, tau, fraction, weight_by, lambda v, square: beta2 * v + (1 - beta2) * square)


@registered(YOGI)
def fedyogi(
    rate: Positive = 0.01,
    beta1: Momentum = 0.9,
    beta2: Momentum = 0.99,
    tau: Positive = 1e-3,
    fraction: Fraction = 1.0,
    weight_by: WeightBy = "examples",
) -> Scheme:
    """v <- v - (1 - beta2) Delta^2 sign(v - Delta^2); m and w as in `fedadam`.

    rate, beta1, beta2, tau, fraction, weight_by: as in `fedadam`.

    Peak memory without the reports: 11 models.
    """

    def second(v: Tensor, square: Tensor) -> Tensor:
        return v - (1 - beta2) * square * (v - square).sign()

    return _adaptive(rate, beta1, tau, fraction, weight_by, second)


def _adaptive(
    rate: float,
    beta1: float,
    tau: float,
    fraction: float,
    weight_by: WeightBy,
    second: Callable[[Tensor, Tensor], Tensor],
) -> Scheme:
    """The common form; second(v, Delta^2) gives the next v."""

    def rule(change: Tensor, slots: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
        m, v = beta1 * slots[0] + (1 - beta1) * change, second(slots[1], change.square())
        return rate * m / (v.sqrt() + tau), [m, v]

    return at_the_server(fedavg(fraction, weight_by), rule, [0.0, tau**2])

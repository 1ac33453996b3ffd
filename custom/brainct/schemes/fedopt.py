"""FedOpt: the mean change of the sites' models is the gradient of an optimiser at the server.

Reddi, Charles, Zaheer, Garrett, Rush, Konecny, Kumar, McMahan: Adaptive Federated Optimization, ICLR 2021, Algorithm 2
(FedAdagrad, FedYogi, FedAdam). Hsu, Qi, Brown: Measuring the Effects of Non-Identical Data Distribution for Federated
Visual Classification, arXiv 1909.06335, 2019 (FedAvgM).

All arithmetic is per coordinate, in float64. Counters (integer tensors) never go through an optimiser. The server needs
the sites' mean alone: privacy, a lost site (left out of the mean) and what a site keeps (nothing) are as in `fedavg`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from brainct.core import weights as w
from brainct.core.learner import Model
from brainct.core.scheme import About, Memory, Report, Scheme, registered
from brainct.schemes._ranges import number
from brainct.schemes.fedavg import fedavg

Rule = Callable[[Tensor, Sequence[Tensor]], tuple[Tensor, Sequence[Tensor]]]


def _about(paper: str, use: str) -> About:
    sends, lost = "P to and P from each site asked", "left out of the round's mean"
    return About(
        paper, "server optimiser", sends, "nothing", lost, use, "as `fedavg`", no_secure_aggregation="", no_noise=""
    )


_ADAPTIVE = "Reddi et al., ICLR 2021, Algorithm 2"
ABOUT = {
    "fedadagrad": _about(_ADAPTIVE, "some weights get rare, large changes; steps only ever shrink"),
    "fedadam": _about(_ADAPTIVE, "layers need steps of different sizes, and rounds are plenty enough to tune `rate`"),
    "fedavgm": _about(
        "Hsu, Qi, Brown, arXiv 2019", "the mean jumps about from round to round, as with few sites asked"
    ),
    "fedyogi": _about(_ADAPTIVE, "as `fedadam`, where its steps grow too fast after quiet rounds"),
}


@registered
def fedavgm(rate: float = 1.0, momentum: float = 0.9, fraction: float = 1.0, weight_by: str = "examples") -> Scheme:
    """v <- beta v + Delta, w <- w + eta v, where Delta = sum_k n_k/n (w_k - w).

    rate: eta, > 0. momentum: beta in [0, 1); at 0 with rate 1 this is FedAvg, to the bit as all here adds in float64.
    fraction, weight_by: as in `fedavg`. Peak memory beside the reports: 9 models.
    """
    number("fedavgm: rate", rate, above=0)
    number("fedavgm: momentum", momentum, least=0, below=1)

    def rule(change: Tensor, slots: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
        velocity = momentum * slots[0] + change
        return rate * velocity, [velocity]

    return _at_the_server(fedavg(fraction, weight_by), rule, [0.0])


@registered
def fedadagrad(
    rate: float = 0.01, beta1: float = 0.0, tau: float = 1e-3, fraction: float = 1.0, weight_by: str = "examples"
) -> Scheme:
    """v <- v + Delta^2; m, w and the arguments as in `fedadam`; the paper has beta1 = 0. Peak memory: 11 models."""
    return _adaptive("fedadagrad", rate, beta1, tau, fraction, weight_by, lambda v, square: v + square)


@registered
def fedadam(
    rate: float = 0.01,
    beta1: float = 0.9,
    beta2: float = 0.99,
    tau: float = 1e-3,
    fraction: float = 1.0,
    weight_by: str = "examples",
) -> Scheme:
    """m <- beta1 m + (1 - beta1) Delta, v <- beta2 v + (1 - beta2) Delta^2, w <- w + eta m / (sqrt(v) + tau).

    Delta = sum_k n_k/n (w_k - w); m starts at 0 and v at tau^2; neither is corrected for its start, as in the paper.
    rate: eta, > 0, about the largest step of a coordinate. beta1, beta2: in [0, 1). tau: > 0, the change below which a
    coordinate counts as quiet. fraction, weight_by: as in `fedavg`. Peak memory beside the reports: 11 models.
    """
    number("fedadam: beta2", beta2, least=0, below=1)
    return _adaptive(
        "fedadam", rate, beta1, tau, fraction, weight_by, lambda v, square: beta2 * v + (1 - beta2) * square
    )


@registered
def fedyogi(
    rate: float = 0.01,
    beta1: float = 0.9,
    beta2: float = 0.99,
    tau: float = 1e-3,
    fraction: float = 1.0,
    weight_by: str = "examples",
) -> Scheme:
    """v <- v - (1 - beta2) Delta^2 sign(v - Delta^2); m and w as in `fedadam`. Arguments as there. Peak: 11 models."""
    number("fedyogi: beta2", beta2, least=0, below=1)

    def second(v: Tensor, square: Tensor) -> Tensor:
        return v - (1 - beta2) * square * (v - square).sign()

    return _adaptive("fedyogi", rate, beta1, tau, fraction, weight_by, second)


def _adaptive(
    name: str,
    rate: float,
    beta1: float,
    tau: float,
    fraction: float,
    weight_by: str,
    second: Callable[[Tensor, Tensor], Tensor],
) -> Scheme:
    """The common form; second(v, Delta^2) gives the next v."""
    number(f"{name}: rate", rate, above=0)
    number(f"{name}: beta1", beta1, least=0, below=1)
    number(f"{name}: tau", tau, above=0)

    def rule(change: Tensor, slots: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
        m, v = beta1 * slots[0] + (1 - beta1) * change, second(slots[1], change.square())
        return rate * m / (v.sqrt() + tau), [m, v]

    return _at_the_server(fedavg(fraction, weight_by), rule, [0.0, tau**2])


def _at_the_server(averaging: Scheme, rule: Rule, begin: Sequence[float]) -> Scheme:
    """FedAvg, then rule(change, slots) -> (step, slots) on each floating tensor; begin: the slots before round 0."""

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        return {**averaging.start(model, sites, seed), "slots": [w.filled(model.weights, value) for value in begin]}

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        mean = averaging.combine(memory, round, reports)["weights"]
        changes, beyond, slots = w.difference(mean, memory["weights"]), {}, [dict(slot) for slot in memory["slots"]]
        for key, change in changes.items():
            step, new = rule(change, [slot[key].double() for slot in slots])
            beyond[key] = step - change
            for slot, value in zip(slots, new, strict=True):
                slot[key] = value.to(slot[key].dtype)
        return {**memory, "weights": w.add(mean, beyond), "slots": slots}

    return replace(averaging, start=start, combine=combine)

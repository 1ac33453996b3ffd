"""FedExP: the server takes a longer step the more the sites' changes differ.

Jhunjhunwala, Wang, Joshi: FedExP: Speeding Up Federated Averaging via Extrapolation, ICLR 2023, Algorithm 1.
"""

from collections.abc import Mapping
from dataclasses import replace

from brainct.core import weights as w
from brainct.core.scheme import About, Memory, Report, Scheme, registered
from brainct.schemes._ranges import number
from brainct.schemes.fedavg import fedavg, share

ABOUT = {
    "fedexp": About(
        paper="Jhunjhunwala, Wang, Joshi, ICLR 2023, Algorithm 1",
        family="server optimiser",
        sends="P to and P from each site asked",
        keeps="nothing",
        lost="left out of the round's mean and step",
        use="FedAvg is too slow and a server's rate can't be tuned; best within `swa` over the last two rounds",
        privacy="as `fedavg`; under secure aggregation each site would send |d_k|^2 too",
        no_secure_aggregation="its step needs the length of each site's update, not their sum alone",
        no_noise="",
    )
}


@registered
def fedexp(epsilon: float = 1e-3, fraction: float = 1.0, weight_by: str = "equal") -> Scheme:
    """w <- w + eta_g d, with d = mean(d_k), d_k = w_k - w, eta_g = max(1, sum_k |d_k|^2 / (2m (|d|^2 + epsilon))).

    epsilon: > 0, against a leap where the changes cancel; in units of |d|^2. fraction: as in `fedavg`. weight_by:
    `equal` as in the paper, or `examples`, where n_k/n takes the place of 1/m in both sums.

    The paper judges the mean of the last two rounds' models, as the model swings: `swa` around this scheme, with begin
    the number of rounds less 2. A site keeps nothing. A lost site is left out. Peak memory beside the
    reports: 6 models.
    """
    number("fedexp: epsilon", epsilon, above=0)
    averaging = fedavg(fraction, weight_by)

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        before, mean = memory["weights"], averaging.combine(memory, round, reports)["weights"]
        beyond = w.scale(w.difference(mean, before), step(before, mean, reports) - 1)
        return {**memory, "weights": w.add(mean, beyond)}

    def step(before: w.Weights, mean: w.Weights, reports: Mapping[str, Report]) -> float:
        shares = [share(report.examples, weight_by) for report in reports.values()]
        lengths = [float(w.squared_distance(before, report.weights)) for report in reports.values()]
        spread = sum(n * length for n, length in zip(shares, lengths, strict=True)) / sum(shares)
        return max(1.0, spread / (2 * (float(w.squared_distance(before, mean)) + epsilon)))

    return replace(averaging, combine=combine)

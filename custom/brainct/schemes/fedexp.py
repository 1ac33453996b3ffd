"""FedExP: the server takes a longer step the more the sites' changes differ.

Jhunjhunwala, Wang, Joshi: FedExP: Speeding Up Federated Averaging via Extrapolation, ICLR 2023, Algorithm 1.
"""

from collections.abc import Mapping
from dataclasses import replace

from brainct.core import weights as w
from brainct.core.arguments import Fraction, Positive, WeightBy
from brainct.core.scheme import About, Memory, Report, Scheme, registered
from brainct.schemes.fedavg import fedavg, share

ABOUT = About(
    paper="Jhunjhunwala, Wang, Joshi, ICLR 2023, Algorithm 1",
    family="server optimiser",
    summary="FedAvg whose server takes a longer step the more the sites' changes differ.",
    when="FedAvg is too slow and you can't tune a server rate; best inside `swa` over the last two rounds",
    lost_site="left out of the round's mean and step",
    privacy="as `fedavg`; under secure aggregation each site would have to send |d_k|^2 too",
    blocks={"secure_aggregation": "its step needs the length of each site's update, not only their sum"},
)


@registered(ABOUT)
def fedexp(epsilon: Positive = 1e-3, fraction: Fraction = 1.0, weight_by: WeightBy = "equal") -> Scheme:
    """w <- w + eta_g d, with d = mean(d_k), d_k = w_k - w, eta_g = max(1, sum_k |d_k|^2 / (2m (|d|^2 + epsilon))).

    epsilon: > 0, in units of |d|^2; it limits the step where the changes cancel.
    fraction: as in `fedavg`.
    weight_by: `equal` as in the paper, or `examples`, which replaces 1/m by n_k/n in both sums.

    The paper evaluates the mean of the last two rounds' models, as the model oscillates: use `swa` around this scheme,
    with `begin` the number of rounds minus 2. Peak memory without the reports: 6 models.
    """
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

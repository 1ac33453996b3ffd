"""FedDC, federated daisy-chaining: models hop between sites and are averaged now and then.

Kamp, Fischer, Vreeken: Federated Learning from Small Datasets, ICLR 2023, Algorithm 1. (Not the local drift decoupling
of Gao et al., CVPR 2022, which has the same short name.)
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from brainct.core import weights as w
from brainct.core.arguments import Period, WeightBy, rounds_of
from brainct.core.determinism import generator
from brainct.core.learner import Model
from brainct.core.robust import coordinate_median, geometric_median
from brainct.core.scheme import About, Memory, Report, Scheme, Task, registered
from brainct.errors import Refused
from brainct.schemes.fedavg import as_sent, reply, share
from brainct.schemes.radon import fitting_levels, machine

ABOUT = About(
    paper="Kamp, Fischer, Vreeken, ICLR 2023, Algorithm 1",
    family="daisy-chaining",
    summary="Models hop between sites, so that each one is trained at many sites, and are averaged now and then.",
    when="a site has too few scans to train a model that is worth averaging",
    sends="P to and P from each site",
    lost_site="its model continues from the server's copy; it has no share in the next average if no site trained it",
    privacy="each site gets models that another site trained, in an order that stays secret only if the server has a "
    "secret (privacy.md); no secure aggregation on rounds with a hop; a robust aggregator does not protect hops: a "
    "Byzantine site's model is passed on unchanged",
    blocks={"secure_aggregation": "the server passes single models from site to site"},
)


@registered(ABOUT)
def feddc(
    daisy_period: Period = 1,
    aggregation_period: Period = 10,
    weight_by: WeightBy = "equal",
    aggregator: Literal["mean", "radon", "median", "geometric_median"] = "mean",
) -> Scheme:
    """Each round every site trains one of m models; then the models are permuted, or averaged, or stay.

    daisy_period: d, rounds between hops, >= 1, null for never: then FedDC is periodic averaging (FedAvg at b = 1).
    aggregation_period: b, rounds between averages, >= 1, null for never: the pure daisy chain.
    weight_by: `equal` as in the paper, or `examples` of a model's last training.
    aggregator: agg, `mean`, or a robust one: `median` of each coordinate, `geometric_median`, or `radon`, the Radon
    machine (see `radon`) of models of d numbers if m = (d+2)^h, else one Radon point of sketches; a robust one needs at
    least 3 sites and `equal`, takes all m models, whichever site trained them, and does not protect a hop.

    In round t the models are averaged if t mod b = b-1, else permuted at random if t mod d = d-1: a permutation just
    before an average is a wasted transfer. All sites start from one model. A lost site's model continues from the
    server's copy. Only the server knows the permutation; its seed is public unless the server was given a secret (see
    docs/privacy.md). Peak memory: 2m models, with `geometric_median` 4m.
    """
    d, b = rounds_of(daisy_period), rounds_of(aggregation_period)
    if aggregator != "mean" and weight_by != "equal":
        raise Refused(f"feddc: aggregator {aggregator} counts all models the same; wanted weight_by equal")

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        if aggregator != "mean" and len(sites) < 3:
            raise Refused(f"feddc: aggregator {aggregator} needs at least 3 sites, not {len(sites)}; wanted mean")
        return {"seed": seed, **_one_for_all(model.weights, sites)}

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        return {site: Task(memory["models"][site]) for site in sites}

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        models = {**memory["models"], **{site: dict(report.weights) for site, report in reports.items()}}
        trained = {**memory["trained"], **{site: report.examples for site, report in reports.items()}}
        memory = {**memory, "models": models, "trained": trained}
        if round % b == b - 1:
            return {**memory, **_one_for_all(model(memory), sorted(models))}
        if round % d == d - 1:
            return {**memory, **_hop(memory, round)}
        return memory

    def model(memory: Memory) -> w.Weights:
        if aggregator != "mean":
            return _robustly(aggregator, memory)
        trained = {site: examples for site, examples in memory["trained"].items() if examples}
        shares = trained or dict.fromkeys(memory["models"], 1)
        return w.mean([(share(shares[site], weight_by), memory["models"][site]) for site in sorted(shares)])

    return Scheme(start, assign, reply, combine, model, sent_model=as_sent)


def _robustly(aggregator: str, memory: Memory) -> w.Weights:
    models = [memory["models"][site] for site in sorted(memory["models"])]
    if aggregator == "radon":
        levels = fitting_levels(len(models), models[0])
        return machine(models, levels, "sketch", generator(memory["seed"], "feddc", "radon"))
    return coordinate_median(models) if aggregator == "median" else geometric_median(models)


def _one_for_all(weights: w.Weights, sites: Sequence[str]) -> dict[str, Any]:
    """Memory in which every site has the same model. trained: {site: examples of its last training since, or 0}."""
    return {"models": dict.fromkeys(sites, weights), "trained": dict.fromkeys(sites, 0)}


def _hop(memory: Memory, round: int) -> dict[str, Any]:
    """Send the model of each site, with its count of examples, to the site that a uniform permutation says."""
    sites = sorted(memory["models"])
    receivers = generator(memory["seed"], "feddc", round).permutation(sites).tolist()
    return {
        part: {receiver: memory[part][sender] for sender, receiver in zip(sites, receivers, strict=True)}
        for part in ("models", "trained")
    }

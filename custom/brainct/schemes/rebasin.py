"""Re-basin: every site's hidden units are permuted into the order of the first site's, then the models are averaged.

Ainsworth, Hayase, Srinivasa: Git Re-Basin, ICLR 2023, section 3.2 (weight matching); in `core.matching`. Jordan,
Sedghi, Saukh, Entezari, Neyshabur: REPAIR: REnormalizing Permuted Activations for Interpolation Repair, ICLR 2023.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import torch

from brainct.core import matching
from brainct.core import weights as w
from brainct.core.arguments import Count, WeightBy
from brainct.core.learner import Learner, Model
from brainct.core.matching import Link
from brainct.core.scheme import About, ClientState, Memory, Need, Report, Scheme, Task, registered
from brainct.errors import Declined, Refused
from brainct.schemes._sequential import chain_of
from brainct.schemes._unit_statistics import unit_statistics
from brainct.schemes.fedavg import fedavg, share
from brainct.schemes.fedavg import reply as trained

ABOUT = About(
    paper="Ainsworth et al., ICLR 2023, section 3.2; Jordan et al., ICLR 2023 (REPAIR)",
    family="matching",
    summary="The server puts the units of all sites' networks into one order before it averages them.",
    when="sites train so long, or from such different models, that their units are no longer in one order",
    sends="P to and P from each site; with REPAIR also 16 bytes a hidden unit from it, and after each round of "
    "training one round a hidden layer with P to and 16 bytes a unit from it",
    lost_site="left out of the round's mean; if it is the first by name, the next one gives the order",
    privacy="the server sees each site's model and matches it with another's; no secure aggregation",
    blocks={
        "secure_aggregation": "the server must see single models to match their units",
        "update_noise": "with `repair` a site also sends its units' means and deviations, which are not an update of a "
        "model",
        "private_training": "with `repair` sites send their units' means and deviations without noise",
    },
)


STATISTICS = "activations/"
NETWORK: frozenset[Need] = frozenset({"network"})


@registered(ABOUT)
def rebasin(sweeps: Count = 100, weight_by: WeightBy = "examples", repair: bool = False) -> Scheme:
    """w <- sum_k n_k/n pi_k(w_k), where pi_k permutes hidden units so that pi_k(w_k) lies close to the first site's w.

    sweeps: of coordinate ascent over the layers, at most, >= 1.
    weight_by: as in `fedavg`.
    repair: whether REPAIR follows each round of training.

    A permutation does not change a site's function; with GroupNorm it exchanges whole groups, and channels within a
    group. All sites start a round from one model: after few epochs a better order is seldom found, and without one the
    result is bit-identical to FedAvg. Plain chains (`cnn`, `vgg-small`) only. Peak memory: m + 1 models.

    REPAIR: averaging flattens the activations of hidden units. A round of training is followed by one round for each
    hidden layer, from the input on, in which no site trains: sites measure the layer in the averaged model, and the
    server gives each of its units the scale and shift with which mean and standard deviation, both averaged over sites
    by n_k/n, are again what the sites measured in their own trained models. So L hidden layers make a cycle of L + 1
    rounds, and a run is a whole number of them. The input of the activation function is measured: with GroupNorm, the
    output of GroupNorm, whose weight and bias take the correction. The paper measures every model on the same scans;
    here a site has its own only. A site lost while the average is measured is left out of that layer's mean.
    """
    base = fedavg(weight_by=weight_by)

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        chain = chain_of(model, ("cnn", "vgg-small"), "rebasin", normalised=True)
        if repair:
            if model.rounds % len(chain):
                raise Refused(
                    f"rebasin: REPAIR has cycles of {len(chain)} rounds; wanted a multiple, not {model.rounds}"
                )
            chain = [*(replace(link, carried=[STATISTICS + link.last]) for link in chain[:-1]), chain[-1]]
        return {**base.start(model, sites, seed), "chain": [asdict(link) for link in chain]}

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        if not repair:
            return base.assign(memory, round, sites)
        layers = [Link(**row).last for row in memory["chain"][:-1]]
        at = round % (len(layers) + 1)
        measure = {"train": at == 0, "measure": layers if at == 0 else [layers[at - 1]]}
        return {site: replace(task, extra=measure) for site, task in base.assign(memory, round, sites).items()}

    def reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
        asked = task.extra.get("train", True), task.extra.get("measure", [])
        if asked != (True, []) and (not repair or asked not in _measurable(learner.initial())):
            raise Declined("the server asks for a measurement that the job does not have; nothing is measured")
        return _reply(task, learner, client_state)

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        chain = [Link(**row) for row in memory["chain"]]
        if repair and (at := round % len(chain)):
            found = w.mean([(share(report.examples, weight_by), report.weights) for report in reports.values()])
            weights = repair_layer(memory["weights"], chain[at - 1], found, memory["wanted"])
            return {**memory, "weights": weights}
        first = dict(next(iter(reports.values())).weights)
        models = [
            (share(report.examples, weight_by), matching.align(report.weights, first, chain, sweeps))
            for report in reports.values()
        ]
        mean = w.mean(models)
        weights = {key: value for key, value in mean.items() if key in memory["weights"]}
        wanted = {key: value for key, value in mean.items() if key not in weights}
        return {**memory, "weights": weights, **({"wanted": wanted} if repair else {})}

    five = replace(base, start=start, assign=assign, reply=reply, combine=combine, expects=_expects)
    return replace(five, needs=NETWORK, sent_model=None if repair else base.sent_model)


def _measurable(model: Model) -> list[tuple[bool, list[str]]]:
    """What REPAIR asks of a site: to train and measure all hidden layers, or to measure one of them."""
    layers = [link.last for link in chain_of(model, ("cnn", "vgg-small"), "rebasin", normalised=True)[:-1]]
    return [(True, layers), *((False, [layer]) for layer in layers)]


def repair_layer(weights: w.Weights, link: Link, found: w.Weights, wanted: w.Weights) -> dict[str, torch.Tensor]:
    """The model whose layer has the wanted mean and deviation where it had those found; constant units are shifted."""
    [key] = link.carried
    (mean, deviation), (mean_wanted, deviation_wanted) = found[key].T, wanted[key].T
    scale = torch.where(deviation > 0, deviation_wanted / deviation, 1.0)
    weight, bias = (weights[f"{link.last}.{part}"] for part in ("weight", "bias"))
    rows = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return {
        **weights,
        f"{link.last}.weight": (weight * rows).to(weight.dtype),
        f"{link.last}.bias": ((bias - mean) * scale + mean_wanted).to(bias.dtype),
    }


def _reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
    report, model = Report({}, 1), task.weights
    if task.extra.get("train", True):
        report, client_state = trained(task, learner, client_state)
        model = report.weights
    if "measure" not in task.extra:
        return report, client_state
    found, scans = unit_statistics(learner, model, task.extra["measure"])
    statistics = {STATISTICS + layer: value for layer, value in found.items()}
    return replace(report, weights={**report.weights, **statistics}, examples=scans), client_state


def _expects(task: Task, report: Report) -> w.Weights:
    layers = task.extra.get("measure", [])
    shapes = {layer: (len(task.weights[f"{layer}.weight"]), 2) for layer in layers}
    statistics = {
        STATISTICS + layer: torch.empty(shape, dtype=torch.float64, device="meta") for layer, shape in shapes.items()
    }
    return {**(task.weights if task.extra.get("train", True) else {}), **statistics}

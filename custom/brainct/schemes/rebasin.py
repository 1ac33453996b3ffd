"""Re-basin: every site's hidden units are put into the order of the first site's before the models are averaged.

Ainsworth, Hayase, Srinivasa: Git Re-Basin, ICLR 2023, section 3.2 (weight matching); in `brainct.matching`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from brainct import matching
from brainct import weights as w
from brainct.matching import Link
from brainct.scheme import About, Memory, Model, Report, Scheme, registered
from brainct.schemes._chain import chain_of
from brainct.schemes._ranges import whole
from brainct.schemes.fedavg import fedavg, share

ABOUT = {
    "rebasin": About(
        paper="Ainsworth et al., ICLR 2023, section 3.2",
        family="matching",
        sends="P to and P from each site",
        keeps="nothing",
        lost="left out of the round's mean; if it is the first by name, the next one gives the order",
        use="sites train so long, or from so different models, that their units no longer stand in one order",
        privacy="the server sees each site's model and matches it with another's; no secure aggregation",
        no_secure_aggregation="the server must see single models to match their units",
        no_noise="",
    )
}


@registered
def rebasin(sweeps: int = 100, weight_by: str = "examples") -> Scheme:
    """w <- sum_k n_k/n pi_k(w_k), where pi_k permutes hidden units so that pi_k(w_k) lies close to the first site's w.

    sweeps: of coordinate ascent over the layers, at most, >= 1. weight_by: as in `fedavg`.

    A permutation leaves a site's function what it is; with GroupNorm it exchanges whole groups, and channels within a
    group. All sites start a round from one model: after few epochs a better order is seldom found, and where none is,
    this is FedAvg to the bit. No REPAIR: the mean's activations are not rescaled. Plain chains (`cnn`, `vgg-small`)
    only. Peak memory: m + 1 models.
    """
    whole("rebasin: sweeps", sweeps, 1)
    base = fedavg(weight_by=weight_by)

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        chain = chain_of(model, ("cnn", "vgg-small"), "rebasin", normalised=True)
        return {**base.start(model, sites, seed), "chain": [asdict(link) for link in chain]}

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        chain = [Link(**row) for row in memory["chain"]]
        first = dict(next(iter(reports.values())).weights)
        models = [
            (share(report.examples, weight_by), matching.aligned(report.weights, first, chain, sweeps))
            for report in reports.values()
        ]
        return {**memory, "weights": w.mean(models)}

    return replace(base, start=start, combine=combine)

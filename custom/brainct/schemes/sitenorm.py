"""Shrunken site normalisation: each site normalises its scans by its own statistics, drawn towards those of all.

This project's own proposal, around any scheme. It takes from Li, Jiang, Zhang, Kamp, Dou: FedBN, ICLR 2021, that a
scanner's statistics stay with the scanner, and from James, Stein: Estimation with Quadratic Loss, Berkeley Symposium
1961, that the noisy mean of few scans is better drawn towards the mean of all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from brainct.core.arguments import NotNegative
from brainct.core.learner import Learner, Model
from brainct.core.scheme import About, ClientState, Inner, Memory, Need, Report, Scheme, Task, names_in, registered
from brainct.core.weights import Weights
from brainct.errors import Refused
from brainct.schemes._moments import Moments, moments, normalising
from brainct.schemes.fedavg import fedavg

ABOUT = About(
    paper="this project, after FedBN (Li et al., ICLR 2021) and James, Stein, 1961",
    family="wrappers",
    summary="Each site normalises the brightness of its scans before the inner scheme trains on them.",
    when="sites differ in their scanners; it helps any scheme, pooled training too",
    sends="round 0: 16 bytes a channel to and from each site; then as the inner scheme, and mu, s2 to each site",
    client_state="as the inner scheme",
    lost_site="in round 0: its scans have no share in the common statistics; later: as in the inner scheme",
    privacy="the mean and spread of a site's brightness; their sums are enough, so secure aggregation of them is "
    "possible; the rest as the inner scheme",
    blocks={
        "update_noise": "in round 0 sites send the mean and spread of their scans' brightness without noise",
        "private_training": "sites send the mean and spread of their scans' brightness without noise",
    },
)
IMAGES: frozenset[Need] = frozenset({"images"})
STATISTICS = "sitenorm"
"""Where a task and a model say the common statistics, in `extra`."""


@registered(ABOUT)
def sitenorm(inner: Inner | None = None, kappa: NotNegative | None = 0.0) -> Scheme:
    """Site k's network sees (x - mu_k')/sqrt(v_k'), mu_k' = (n_k mu_k + kappa mu) / (n_k + kappa), v_k' alike with s2.

    inner: the scheme that trains; null for `fedavg()`.
    kappa: the weight of the statistics of all sites, in scans, >= 0: 0 is each site's own alone, null (infinity) is
    those of all alone.

    mu_k, v_k: mean and variance of an input channel over all pixels of the n_k training scans, labelled or not, before
    augmentation. All pixels, air too: a gain and an offset of a scanner's brightness then cancel at kappa = 0, which
    they would not behind a threshold. They cancel unless values are clipped at the window's edges; augmentation,
    which comes first, acts on the original scans. mu = sum n_k mu_k / sum n_k, s2 = sum n_k v_k / sum n_k, the
    variance within sites: the difference of their means is the scanners' doing.

    Round 0 collects these sums and trains nothing; the inner scheme's round 0 is round 1. A site lost in it takes part
    later like any other. Sites derive mu_k', v_k' from their scans and the task each time. A held-out site gets mu, s2
    with the model, in the metadata of model.safetensors and in the `extra` of the task, and does the same with its own
    scans, without labels; with no scans it uses mu, s2. Peak memory is the inner scheme's.
    """
    base = inner if inner is not None else fedavg()
    if "sitenorm" in names_in(base.name, base.arguments):
        raise Refused(
            "sitenorm: inner is or holds sitenorm; one normalisation of the input is enough, remove the inner"
        )

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        if model.rounds == 1:
            raise Refused("sitenorm: the run has 1 round, which only collects statistics; wanted at least 2")
        inner_model = replace(model, rounds=max(0, model.rounds - 1))
        return {"inner": base.start(inner_model, sites, seed), "none": _none(model), "statistics": {}}

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        if round == 0:
            return {site: Task(memory["none"]) for site in sites}
        return told(memory, base.assign(memory["inner"], round - 1, sites))

    def follow(memory: Memory, round: int, reports: Mapping[str, Report]) -> Mapping[str, Task]:
        return told(memory, base.follow(memory["inner"], round - 1, reports)) if round else {}

    def told(memory: Memory, tasks: Mapping[str, Task]) -> dict[str, Task]:
        return {site: replace(task, extra={**task.extra, **memory["statistics"]}) for site, task in tasks.items()}

    def reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
        if STATISTICS in task.extra:
            return base.reply(task, seen(task, learner), client_state)
        own = moments(learner)
        return Report({"sum": own.sum, "scatter": own.scatter}, own.scans), client_state

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        if round == 0:
            return {**memory, "statistics": {STATISTICS: _common(reports)}}
        return {**memory, "inner": base.combine(memory["inner"], round - 1, reports)}

    def expects(task: Task, report: Report) -> Weights:
        return base.expects(task, report) if STATISTICS in task.extra else task.weights

    def adapt_input(task: Task, learner: Learner, client_state: ClientState) -> Learner:
        return base.adapt_input(task, seen(task, learner), client_state)

    def seen(task: Task, learner: Learner) -> Learner:
        statistics = shrunken(moments(learner), **task.extra[STATISTICS], kappa=kappa)
        return learner.adapted(inputs=normalising(*statistics))

    def extra(memory: Memory) -> Mapping[str, Any]:
        return {**base.extra(memory["inner"]), **memory["statistics"]}

    def model(memory: Memory) -> Weights:
        return base.model(memory["inner"])

    def aggregation_weight(task: Task, report: Report) -> float:
        return base.aggregation_weight(task, report) if base.aggregation_weight and STATISTICS in task.extra else 1.0

    def sent_model(task: Task, report: Report) -> Weights:
        return base.sent_model(task, report) if base.sent_model and STATISTICS in task.extra else {}

    five = replace(base, start=start, assign=assign, reply=reply, combine=combine, model=model, follow=follow)
    eight = replace(five, expects=expects, adapt_input=adapt_input, extra=extra)
    nine = replace(eight, sent_model=sent_model if base.sent_model else None)
    summed = aggregation_weight if base.aggregation_weight else None
    needs = base.needs | IMAGES
    return replace(nine, aggregation_weight=summed, hides_updates=False, fixed_members=False, needs=needs)


def shrunken(
    own: Moments, mean: Sequence[float], variance: Sequence[float], kappa: float | None
) -> tuple[list[float], list[float]]:
    """(mu', v') of a site, channel by channel, from its own moments, everyone's statistics and kappa."""
    if kappa is None or own.scans + kappa == 0:
        return list(mean), list(variance)
    first, second = (kappa * torch.tensor(common, dtype=torch.float64) for common in (mean, variance))
    scans = own.scans + kappa
    return ((own.sum + first) / scans).tolist(), ((own.scatter + second) / scans).tolist()


def _none(model: Model) -> Weights:
    """The sums of no scans, (C,): the input's channels are the second axis of the first convolution's weight."""
    channels = next(value.shape[1] for value in model.weights.values() if value.ndim > 3)
    return {key: torch.zeros(channels, dtype=torch.float64) for key in ("sum", "scatter")}


def _common(reports: Mapping[str, Report]) -> dict[str, list[float]]:
    """mu and s2 of all scans that were reported, from sums alone."""
    scans = sum(report.examples for report in reports.values())
    totals = {
        name: torch.stack([report.weights[key] for report in reports.values()]).sum(0) / scans
        for name, key in (("mean", "sum"), ("variance", "scatter"))
    }
    return {name: value.tolist() for name, value in totals.items()}

"""Turns: in each round one site sends the gradient of one batch, in a byte a number, and the server's Adam steps.

This project's own, of known parts: distributed mini-batches (Dekel, Gilad-Bachrach, Shamir, Xiao, JMLR 2012), of which
each round takes one site's; random reshuffling of the sites (Mishchenko, Khaled, Richtarik, NeurIPS 2020); Adam at the
server (Kingma, Ba, ICLR 2015; decoupled weight decay is left out); and blockwise codes of eight bits (Dettmers, Lewis,
Shleifer, Zettlemoyer, ICLR 2022).

Why. Let m sites have bytes for T exchanges each. Averaging spends them on T rounds: T means of m models, each about
as far as one site's steps, with the noise of a batch m times as large. A larger batch helps while it is smaller than
the critical batch size (McCandlish, Kaplan, Amodei, arXiv 1812.06162), the ratio of the gradient's variance to its
square, which is small as long as the model has not converged; then more steps help more. Taken in turns the same
exchanges are m T steps, and four times as many in a byte a number. Local steps are free of bytes, but each drifts
towards its own site's optimum. Here none is local: every step starts from the newest model, and one Adam sees all
gradients, so the run is the training of one computer whose batches come from one site at a time. The critical batch
size of these models was not measured, only what came of it (docs/results).
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from brainct.core.arguments import Count, Positive
from brainct.core.determinism import generator
from brainct.core.learner import Learner, Model
from brainct.core.scheme import About, ClientState, Memory, Report, Scheme, Task, registered
from brainct.core.weights import Weights, check_weights
from brainct.schemes._codes import CODES, flat, packed, shaped, unpacked

ABOUT = About(
    paper="this project, after Dekel et al. (JMLR 2012) and Dettmers et al. (ICLR 2022)",
    family="communication",
    summary="In each round one site sends the gradient of one batch in a byte a number, and the server's Adam steps.",
    when="sites have few scans and accuracy counts more than time: many hundred short rounds, one site each",
    sends="1/4 P to and 1/4 P (a gradient) from one site, 1/64 of that for scales; P both ways if not `coded`",
    lost_site="its round closes empty, and the next site has its turn",
    privacy="the server sees the gradient of each single batch, of which scans can be guessed, more of a small batch; "
    "there is no sum, so secure aggregation is impossible",
    blocks={
        "secure_aggregation": "sites answer one after the other, so there is no sum",
        "update_noise": "sites send gradients, which are not an update of the model that they were given",
        "private_training": "sites send gradients over their scans without noise",
    },
)

MOST_TURNS = 64
"""Turns of a site in one cycle, at most, however many more scans than the smallest it has."""

FIRST, SECOND, EPSILON = 0.9, 0.999, 1e-8
"""Adam's beta_1, beta_2 and epsilon, as in its paper."""


@registered(ABOUT)
def turns(
    rate: Positive = 0.003,
    decay: Literal["constant", "cosine"] = "cosine",
    together: Count = 1,
    coded: bool = True,
    limit: Positive | None = None,
) -> Scheme:
    """g <- grad L(C(w); a batch of site k); m, v <- Adam's means of g and g^2; w <- w - eta_t m^ / (sqrt(v^) + 1e-8).

    rate: eta, > 0. decay: `cosine` lets it fall to 0 over the run's rounds. The job's own optimiser, rate and epochs
    are not used.
    together: sites that a round asks, >= 1; g is the mean of their gradients. More of them take fewer rounds for the
    same bytes, with fewer steps.
    coded: C rounds the weights that travel, and the gradient, to one byte a number; else they travel in float32.
    limit: > 0; a longer gradient is shortened to so many times the median length of the sites' last ones, so that one
    broken or lying site can't outweigh all others; no step is taken until more than half of the sites have sent one.
    Neither a gradient's direction is bounded, nor the turns that a site gets for the scans it says it has. null: none.

    A cycle has round(n_k / min n) turns for a site with n_k training scans, at most 64 and in a random order, once each
    site has said n_k; until then one turn each. The batch is the job's `batch_size`, or all scans of a smaller site,
    drawn anew and augmented as in training. The server keeps w, m and v in float64 and delivers w, not its rounding.
    Tensors without a gradient (buffers, counters) never change. Peak memory at the server: 8 models.
    """

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        zero = torch.zeros_like(flat(model.weights), dtype=torch.float64)
        at = {"exact": flat(model.weights).double(), "first": zero, "second": zero, "steps": 0}
        counts = dict.fromkeys(sites, 0)
        return {"like": model.weights, **at, "rounds": model.rounds, "scans": counts, "lengths": {}, "seed": seed}

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        task = Task({**_counters(memory["like"]), **packed(memory["exact"], coded)})
        asked = _asked(memory["scans"], sorted(sites), round, memory["seed"], together)
        return dict.fromkeys(asked, task)

    def reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
        like = learner.initial().weights
        wanted = {**_counters(like), **packed(flat(like), coded)}
        check_weights(task.weights, wanted, f"{learner.site}, round {learner.round}: the task")
        found = learner.gradient({**_counters(task.weights), **shaped(unpacked(task.weights, coded), like)}, batch=True)
        whole = {key: found.weights.get(key, torch.zeros_like(value)) for key, value in like.items()}
        scans = len(learner.samples()[1])
        return Report({**_counters(task.weights), **packed(flat(whole), coded)}, scans, found.metrics), client_state

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        if not reports:
            return memory
        found = {site: unpacked(report.weights, coded).double() for site, report in reports.items()}
        lengths = memory["lengths"] | {site: float(one.norm()) for site, one in found.items()}
        scans = memory["scans"] | {site: report.examples for site, report in reports.items()}
        memory = {**memory, "lengths": lengths, "scans": scans}
        if limit is not None and 2 * len(lengths) <= len(scans):
            return memory
        longest = math.inf if limit is None else limit * statistics.median_low(lengths.values())
        gradient = torch.zeros_like(memory["exact"])
        for site, one in found.items():
            gradient += one * min(1.0, longest / (lengths[site] or 1.0)) / len(found)
        falls = decay == "cosine" and memory["rounds"]
        fall = 0.5 * (1 + math.cos(math.pi * round / memory["rounds"])) if falls else 1.0
        return memory | _adam(memory, gradient, rate * fall)

    def model(memory: Memory) -> Weights:
        return {**memory["like"], **shaped(memory["exact"], memory["like"])}

    def sent_gradient(given: Weights, sent: Weights, like: Weights) -> tuple[Weights, Weights]:
        return shaped(unpacked(given, coded), like), shaped(unpacked(sent, coded), like)

    return Scheme(start, assign, reply, combine, model, sent_gradient=sent_gradient)


def _asked(scans: Mapping[str, int], sites: Sequence[str], round: int, seed: int, together: int) -> list[str]:
    """The sites that a round asks, of those that are there. scans: by site, 0 where not known yet."""
    least = min(scans[site] for site in sites)
    counts = [min(MOST_TURNS, int(scans[site] / least + 0.5)) if least else 1 for site in sites]
    places = [site for site, count in zip(sites, counts, strict=True) for _ in range(count)]
    cycle, turn = divmod(round, -(-len(places) // together))
    order: list[str] = generator(seed, "turns", cycle).permutation(places).tolist()
    return sorted({*order[turn * together : (turn + 1) * together]})


def _adam(memory: Memory, gradient: Tensor, rate: float) -> dict[str, Any]:
    """One step of Adam, with its corrections for means that began at 0."""
    steps = memory["steps"] + 1
    first = FIRST * memory["first"] + (1 - FIRST) * gradient
    second = SECOND * memory["second"] + (1 - SECOND) * gradient**2
    length = (second / (1 - SECOND**steps)).sqrt() + EPSILON
    exact = memory["exact"] - rate * first / (1 - FIRST**steps) / length
    return {"exact": exact, "first": first, "second": second, "steps": steps}


def _counters(weights: Weights) -> dict[str, Tensor]:
    """The whole numbers among the weights, which travel as they are."""
    return {key: value for key, value in weights.items() if not value.is_floating_point() and key != CODES}

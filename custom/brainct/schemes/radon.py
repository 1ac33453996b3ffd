"""The Radon machine: iterated Radon points of the sites' models instead of their mean.

Kamp, Boley, Missura, Gaertner: Effective Parallelisation for Machine Learning, NeurIPS 2017, Algorithm 1. The paper's
run is one round of long local training; more rounds start again from the Radon point.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from brainct.core.arguments import Count
from brainct.core.determinism import generator
from brainct.core.learner import Learner, Model
from brainct.core.robust import combine_models, median_of_threes, numbers, radon_machine, sketch
from brainct.core.scheme import ClientState, Memory, Need, Report, Scheme, Task, every, registered
from brainct.core.weights import Weights
from brainct.errors import Refused
from brainct.schemes._robust import ROBUST, SINGLE, at_least, robust
from brainct.schemes.fedavg import reply

ABOUT = replace(
    ROBUST,
    paper="Kamp, Boley, Missura, Gaertner, NeurIPS 2017, Algorithm 1",
    summary="The new model is an iterated Radon point, a middle of the sites' models that a few can't move.",
    when="training is convex and small (`whole`, `head`), or no site may move the mean far (`sketch`, `coordinate`)",
    sends="P to and P from each site; part `head`: P to and H from each site",
    lost_site="left out with one level of sketches, else the round is refused: a Radon machine needs r^h models",
    privacy=f"{SINGLE}: no secure aggregation; the server's secret hides the sketch (privacy.md)",
)
Part = Literal["sketch", "whole", "head", "coordinate"]


@registered(ABOUT)
def radon(levels: Count = 1, part: Part = "sketch") -> Scheme:
    """w <- the iterated Radon point of r^h models: one Radon point for each group of r, and again of those, h times.

    levels: h >= 1; the number of sites must be r^h for a whole r >= 3; groups follow their names.
    part: what the Radon points are of, d = r - 2 numbers: a random `sketch` of the model, the `whole` model, its
    `head`, or each `coordinate`.

    `whole`: the model itself, which must have just r - 2 numbers. Guarantee for a quasi-convex risk: if a site's model
    is worse than eps with probability delta < 1/r, the result is with probability at most (r delta)^(2^h). Tolerates
    2^h - 1 Byzantine sites of r^h: the result has Tukey depth 2^h and lies in the honest models' convex hull.
    `head`: the last linear layer of D inputs, each finding on its own, d = D + 1 numbers, so r = D + 3; sites train it
    alone and send it alone, the rest stays as it began: start from a checkpoint, or little is learned. Given the frozen
    rest, training is a convex problem, and the guarantee holds for each finding. Few sites suffice for few numbers
    only: `cnn-fourier` ends in D random Fourier features, and with D = 5 a level takes 8 sites.
    `sketch`: a random projection of the model to r - 2 numbers, drawn anew each round; the convex weights that give the
    sketches' Radon point combine the whole models. Both guarantees then hold for the sketch only; a Byzantine site that
    knows the seed can hide from it, so give the server a secret. A model of at most r - 2 numbers is its own sketch.
    `coordinate`: each coordinate on its own, d = 1, r = 3: the iterated median of three; needs 3^h sites.
    All sites count the same. A lost site is left out if h is 1, the part is `sketch` and three are left; else all must
    reply. Peak memory without the reports: the model and two tensors; `coordinate` 3m of the largest in float64.
    """

    def aggregate(models: Sequence[Weights], memory: Memory, round: int) -> Weights:
        rng = generator(memory["seed"], "radon", round)
        if part == "head":
            return {**memory["weights"], **_head_of_rows(models, memory["head"], levels, rng)}
        return machine(models, levels, part, rng)

    base = robust("radon", aggregate, 3**levels)

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        head = _linear(model) if part == "head" else ""
        _root(len(sites), _row(model.weights, head, 0) if head else model.weights, levels, part)
        return {**base.start(model, sites, seed), "head": head}

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        extra = {"head": memory["head"]} if memory["head"] else {}
        return {site: Task(task.weights, extra) for site, task in base.assign(memory, round, sites).items()}

    needs: set[Need] = {"network"} if part == "head" else set()
    flexible: Callable[[int], int] = at_least(3) if (levels, part) == (1, "sketch") else every
    return replace(
        base, start=start, assign=assign, reply=_reply, expects=_sent, quorum=flexible, needs=frozenset(needs)
    )


def _reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
    """FedAvg's, or the head that was trained alone."""
    if "head" not in task.extra:
        return reply(task, learner, client_state)
    head = _sent(task)
    fitted = learner.fit(task.weights, frozen=task.weights.keys() - head.keys())
    return Report({key: fitted.weights[key] for key in head}, fitted.examples, metrics=fitted.metrics), client_state


def _sent(task: Task, report: Report | None = None) -> Weights:
    """The part of the task's weights that a report has."""
    keys = [f"{task.extra['head']}.{part}" for part in ("weight", "bias")] if "head" in task.extra else task.weights
    return {key: task.weights[key] for key in keys}


def _linear(model: Model) -> str:
    last = model.layers[-1] if model.layers else None
    if last is None or last.kind != "Linear" or len(last.keys) != 2:
        raise Refused(f"radon: {model.architecture or 'the network'} does not end in a linear layer with a bias")
    return last.path


def _row(weights: Weights, head: str, output: int) -> Weights:
    """The linear model of one output."""
    return {part: weights[f"{head}.{part}"][output : output + 1] for part in ("weight", "bias")}


def _head_of_rows(models: Sequence[Weights], head: str, levels: int, rng: np.random.Generator) -> Weights:
    outputs = range(len(models[0][f"{head}.bias"]))
    rows = [machine([_row(model, head, output) for model in models], levels, "head", rng) for output in outputs]
    return {f"{head}.{part}": torch.cat([row[part] for row in rows]) for part in ("weight", "bias")}


def machine(models: Sequence[Weights], levels: int, part: str, rng: np.random.Generator) -> Weights:
    """The iterated Radon point of models; refuses numbers of models that it can't be made of."""
    r = _root(len(models), models[0], levels, part)
    if part == "coordinate":
        return median_of_threes(models)
    return combine_models(models, radon_machine(sketch(models, r - 2, rng)))


def fitting_levels(models: int, like: Weights) -> int:
    """The h for which this many models are (d + 2)^h, so that they need no sketch; else 1."""
    r = numbers(like) + 2
    fits = [h for h in range(1, models.bit_length()) if r**h == models]
    return fits[0] if fits else 1


def _root(count: int, like: Weights, levels: int, part: str) -> int:
    """The r for which r^h is the number of models, and which the part allows."""
    r = round(math.pow(count, 1 / levels))
    only = {"sketch": r, "whole": numbers(like) + 2, "head": numbers(like) + 2, "coordinate": 3}[part]
    if r < 3 or r**levels != count or r != only:
        works = f"{3**levels}, {4**levels}, {5**levels}, ..." if part == "sketch" else str(only**levels)
        raise Refused(f"radon: {count} models; with levels {levels} and part {part} it takes {works}")
    return r

"""Layer-wise barriers between networks that trained apart: one start or two, narrow or wide, two rates, early and late.

Adilova, Andriushchenko, Kamp, Fischer, Jaggi: Layer-wise Linear Mode Connectivity, ICLR 2024. Claimed: the whole
network's barrier appears early and grows while the networks train apart; single layers have nearly none; the middle
layers build the barrier; a network tolerates random directions better than that towards the other network. Measured
with `brainct.barriers` on two sites with disjoint halves of scikit-learn's digits: the loss on test digits, over the
straight line between the two networks' losses.

    python bench/papers/layerwise_barriers.py
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from statistics import fmean
from typing import Any

import digits
from common import Claim, Paper, Rows, go

from brainct.barriers.pair import Choices, Pair
from brainct.barriers.perturbations import perturbations
from brainct.core.weights import Weights
from brainct.training.data import Fold

WIDTHS = {"narrow": ([6, 6, 6], 24), "wide": ([16, 16, 16], 64)}
RATES = (0.03, 0.1)
STARTS = ("one start", "two starts")
TRAINED = {"early": 5, "late": 30}
"""Passes over a site's half."""
CHOICES = Choices(points=5, refine=1, samples=1)
LAYERS = ("conv1", "conv2", "conv3", "hidden", "head")
PROBE = 300
"""Test digits on which the loss is measured."""
LOW = 0.1
"""Nats; a whole network's barrier above this is one."""


def measured(seed: int, width: str, rate: float, starts: str) -> dict[str, Any]:
    """At both times the barriers of the network, its layers and neighbouring two, and what it costs to move a layer."""
    chosen = digits.plan(seed, *WIDTHS[width], {"rate": rate})
    data = digits.sites(seed, 2)
    test = data[0].folds["test"]
    probe = replace(
        data[0], folds={"train": data[0].folds["train"], "test": Fold(test.inputs[:PROBE], test.labels[:PROBE])}
    )
    learners = [digits.learner(chosen, one, f"site-{at}") for at, one in enumerate(data, 1)]
    models = [digits.first_weights(chosen, seed + (1000 * at if starts == "two starts" else 0)) for at in (0, 1)]
    found, before = {}, 0
    for name, passes in TRAINED.items():
        models = [one.fit(model, epochs=passes - before).weights for one, model in zip(learners, models, strict=True)]
        before = passes
        found[name] = _between(models[0], models[1], digits.plan(seed, *WIDTHS[width], {"batch_size": 1024}), probe)
    return found


def _between(a: Weights, b: Weights, chosen: digits.Plan, data: digits.Dataset) -> dict[str, Any]:
    asked = digits.learner(chosen, data, "site-1")
    layers, test = asked.initial().layers, data.folds["test"]

    def loss(weights: Weights) -> float:
        return digits.cross_entropy(asked.predict(weights), test)

    pair = Pair(a, b, loss, CHOICES, loss(a), loss(b))
    cuts = [[pair.cut(base, layer.keys, refine=False) for base in (a, b)] for layer in layers]
    twos = [{*one.keys, *other.keys} for one, other in zip(layers, layers[1:], strict=False)]
    rises = perturbations(pair, layers, [])["layers"]
    return {
        "losses": [round(one, 4) for one in (pair.loss_a, pair.loss_b)],
        "accuracies": [round(digits.accuracy(asked.predict(one), test), 4) for one in (a, b)],
        "full": round(pair.barrier(a, a.keys()), 4),
        "layers": [round(fmean(cut.barrier(pair.loss_a, pair.loss_b) for cut in both), 4) for both in cuts],
        "bumps": [round(max(cut.bump() for cut in both), 4) for both in cuts],
        "twos": [round(fmean(pair.barrier(base, keys, refine=False) for base in (a, b)), 4) for keys in twos],
        "towards": [round(one["interpolation"][1], 4) for one in rises],
        "random": [round(one["random"][1], 4) for one in rises],
    }


def runs(seed: int) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    for width in WIDTHS:
        for rate in RATES:
            for starts in STARTS:
                yield {"width": width, "rate": rate, "starts": starts}, partial(measured, seed, width, rate, starts)


def _full(rows: Rows, when: str, **which: Any) -> float:
    return fmean(row[when]["full"] for row in rows if which.items() <= row.items())


def numbers(rows: Rows) -> dict[str, str]:
    found = {}
    for starts, name in zip(STARTS, ("one", "two"), strict=True):
        own = [row for row in rows if row["starts"] == starts]
        found |= {f"{name}_{when}": f"{_full(own, when):.2f}" for when in TRAINED}
        found[f"{name}_grew"] = str(sum(row["late"]["full"] > row["early"]["full"] for row in own))
        found[f"{name}_runs"] = str(len(own))
        found[f"{name}_above"] = str(sum(row["late"]["full"] > LOW for row in own))
        found[f"{name}_layer"] = f"{fmean(fmean(row['late']['layers']) for row in own):.2f}"
        found[f"{name}_highest"] = f"{fmean(max(row['late']['layers']) for row in own):.2f}"
        found[f"{name}_least"] = f"{fmean(min(row['late']['layers']) for row in own):.2f}"
        for at in range(len(LAYERS) - 1):
            found[f"{name}_twos{at + 1}"] = f"{fmean(row['late']['twos'][at] for row in own):.2f}"
        found[f"{name}_narrow"] = f"{_full(own, 'late', width='narrow'):.2f}"
        found[f"{name}_wide"] = f"{_full(own, 'late', width='wide'):.2f}"
    late = [row["late"] for row in rows]
    bumps = [bump for one in late for bump in one["bumps"]]
    found |= {"flat": str(sum(bump < 0.01 for bump in bumps)), "bumps": str(len(bumps))}
    worse = [t > r for one in late for t, r in zip(one["towards"], one["random"], strict=True)]
    found |= {"worse": str(sum(worse)), "directions": str(len(worse))}
    found["towards"] = f"{fmean(fmean(one['towards']) for one in late):.2f}"
    found["random"] = f"{fmean(fmean(one['random']) for one in late):.2f}"
    return found


def table(rows: Rows) -> list[str]:
    lines = ["| | | rate | passes | accuracy | whole network | " + " | ".join(LAYERS) + " | towards, random |"]
    lines += ["|---" * (7 + len(LAYERS)) + "|"]
    for starts in STARTS:
        for width in WIDTHS:
            for rate in RATES:
                own = [row for row in rows if (row["starts"], row["width"], row["rate"]) == (starts, width, rate)]
                lines += [_line([starts, width, f"{rate}"], when, [row[when] for row in own]) for when in TRAINED]
    return lines


def _line(cells: list[str], when: str, own: list[dict[str, Any]]) -> str:
    layers = [f"{fmean(one['layers'][at] for one in own):.2f}" for at in range(len(LAYERS))]
    rises = [f"{fmean(fmean(one[kind]) for one in own):.2f}" for kind in ("towards", "random")]
    accuracy = fmean(fmean(one["accuracies"]) for one in own)
    full = f"{fmean(one['full'] for one in own):.2f}"
    return f"| {' | '.join([*cells, str(TRAINED[when]), f'{accuracy:.2f}', full, *layers, ', '.join(rises)])} |"


PAPER = Paper(
    name="layerwise_barriers",
    title="Layer-wise barriers",
    source="Adilova, Andriushchenko, Kamp, Fischer, Jaggi, ICLR 2024, sections 3 to 5, as `brainct.barriers` has them.",
    setting=f"""
Chains of three convolutions, a hidden layer and a head, without normalisation, {WIDTHS["narrow"][0][0]} or
{WIDTHS["wide"][0][0]} channels; two sites with 539 digits each, SGD, batches of 32. Barriers in nats on {PROBE} test
digits; of a layer, the mean over both networks as base; "towards, random": the mean rise of the loss when one layer
is moved half the way to the other network, or equally far at random. The paper has ResNet-18, VGG-11 and others on
CIFAR-10.
""",
    claims=(
        Claim(
            "From two starts, the whole network's barrier grows while the networks train apart.",
            "–",
            "AGREES",
            "it is {two_early} nats after 5 passes and {two_late} after 30, and grew in {two_grew} of {two_runs} runs.",
        ),
        Claim(
            "Networks of one start that train apart have a barrier too, early on.",
            "–",
            "CANNOT BE DECIDED HERE",
            "it is {one_early} nats early and {one_late} late, above 0.1 late in {one_above} of {one_runs} runs.",
        ),
        Claim(
            "Single layers have nearly no barrier.",
            "–",
            "DISAGREES",
            "a layer's is {one_layer} nats on average from one start and {two_layer} from two; the whole "
            "network's is {one_late} and {two_late}; yet the loss has no bump of 0.01 on {flat} of {bumps} paths of "
            "one layer.",
        ),
        Claim(
            "The middle layers build the barrier.",
            "–",
            "CANNOT BE DECIDED HERE",
            "of two neighbouring layers from input to output it is {one_twos1}, {one_twos2}, {one_twos3}, "
            "{one_twos4} nats from one start and {two_twos1}, {two_twos2}, {two_twos3}, {two_twos4} from two, in "
            "{one_runs} runs each.",
        ),
        Claim(
            "A network tolerates random directions better than the one towards the other network.",
            "–",
            "AGREES",
            "halfway, moving one layer raises the loss by {towards} nats towards the other and {random} at random; the "
            "former is worse in {worse} of {directions} layers.",
        ),
    ),
    runs=runs,
    numbers=numbers,
    table=table,
)

if __name__ == "__main__":
    go(PAPER)

"""Dynamic averaging: sites send their models only when one of them has moved too far from the last average.

Kamp, Boley, Keren, Schuster, Sharfman: Communication-Efficient Distributed Online Prediction by Dynamic Model
Synchronization, ECML-PKDD 2014; Kamp et al.: Efficient Decentralized Deep Learning by Dynamic Model Averaging,
ECML-PKDD 2018, Algorithm 1. The reference r is the last average of all sites, known to all.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from brainct.core import weights as w
from brainct.core.arguments import NotNegative, Period, rounds_of
from brainct.core.determinism import generator
from brainct.core.learner import Learner, Model
from brainct.core.scheme import About, ClientState, Memory, Report, Scheme, Task, registered
from brainct.errors import Refused
from brainct.schemes._partial import refuse_nan

ABOUT = About(
    paper="Kamp et al., ECML-PKDD 2014 and 2018, Algorithm 1",
    family="communication",
    summary="A site sends its model only when it has moved too far from the last average of all.",
    when="the network to a site is slow or expensive, or sites learn little that is new",
    sends="P from sites that moved far and those asked to balance them, then P to each; P both ways at syncs",
    client_state="its model and the reference, 2P",
    lost_site="continues from its client state, outside this balancing; what it was to get is sent again",
    privacy="the server sees single models, and each round a site's distance from the reference: how unlike it is",
    blocks={
        "secure_aggregation": "the server must see the models of the few sites that moved",
        "update_noise": "a site's silence, and how far it says that its model moved, come from its scans without noise",
    },
)


@registered(ABOUT)
def dynamic(delta: NotNegative = 2.0, sync_every: Period = 10, relative: bool = True) -> Scheme:
    """Each site trains its own model on and sends it if |w_i - r|^2 > Delta; the server then balances or averages all.

    delta: Delta >= 0; 0 is periodic averaging: FedAvg with equal weights.
    sync_every: s >= 1, all synchronise in rounds t mod s = s-1 and in the run's last round; null for the last alone.
    relative: whether Delta is `delta` times the mean |w_i - r|^2 of round 0, when all synchronise; else it is `delta`.

    The senders B are averaged. If B is all, this is the new reference; if |mean - r|^2 <= Delta, B continue from it;
    else the server asks 2|B| more sites at random, or all if B would then be half of them. As in the paper, balancing
    takes rounds of its own without training. The reference is delivered. (1/m) sum |w_i - mean|^2 <= Delta while no
    condition is violated. Peak memory: m + 2 models.
    """
    every = rounds_of(sync_every)

    def together(memory: Memory, round: int) -> bool:
        return delta == 0 or round % every == every - 1 or (relative and round == 0) or round == memory["last"]

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        memory = {"seed": seed, "sites": sorted(sites), "delta": float(delta), "last": model.rounds - 1}
        return {**memory, **_new_reference(model.weights, sites)}

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        if together(memory, round):
            return {site: _train(memory, site, "synchronise") for site in sites}
        if memory["asked"]:
            ask, wait = Task({}, {"do": "send", "like": _shapes(memory["reference"])}), Task({}, {"do": "wait"})
            return {site: ask if site in memory["asked"] else wait for site in sites}
        return {site: _train(memory, site, "train") for site in sites}

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        sent = {site: dict(report.weights) for site, report in reports.items() if report.weights}
        if memory["asked"] and not together(memory, round):
            others = [site for site in memory["others"] if site not in memory["asked"]]
            return _balance(memory, round, {**memory["models"], **sent}, others)
        if relative and round == 0:
            moved = [_gap(model, memory["reference"]) for model in sent.values()]
            memory = {**memory, "delta": delta * sum(moved) / len(moved)}
        news = {site: weights for site, weights in memory["news"].items() if site not in reports}
        others = [site for site in reports if site not in sent]
        return _balance({**memory, "news": news}, round, sent, others)

    five = (start, assign, _reply, combine, lambda memory: memory["reference"])
    return Scheme(*five, expects=_expects, personalise=_personalise, sent_model=lambda task, report: report.weights)


def _new_reference(weights: w.Weights, sites: Sequence[str]) -> dict[str, Any]:
    """All sites are to get the reference; news: {site: what it is to get and has not confirmed}."""
    news = {site: {"weights": weights, "reference": True} for site in sites}
    return {"reference": weights, "news": news, "models": {}, "others": [], "asked": []}


def _train(memory: Memory, site: str, do: str) -> Task:
    extra = {"do": do, "delta": memory["delta"]}
    if news := memory["news"].get(site):
        return Task(news["weights"], {**extra, "reference": news["reference"]})
    return Task({}, {**extra, "like": _shapes(memory["reference"])})


def _balance(memory: Memory, round: int, models: Mapping[str, w.Weights], others: Sequence[str]) -> Memory:
    """The memory after the models of the sites B arrived, while the others' models are still at their sites."""
    done: dict[str, Any] = {"models": {}, "others": [], "asked": []}
    if not models:
        return {**memory, **done}
    mean = w.mean([(1.0, models[site]) for site in sorted(models)])
    if not others:
        return {**memory, **_new_reference(mean, memory["sites"])}
    if _gap(mean, memory["reference"]) <= memory["delta"]:
        news = {site: {"weights": mean, "reference": False} for site in models}
        return {**memory, **done, "news": {**memory["news"], **news}}
    more = 2 * len(models) if 6 * len(models) < len(models) + len(others) else len(others)
    asked = sorted(generator(memory["seed"], "dynamic", round).choice(others, more, replace=False).tolist())
    return {**memory, "models": dict(models), "others": list(others), "asked": asked}


def _reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
    do, extra = task.extra["do"], task.extra
    if do == "wait":
        return Report({}, client_state.get("examples", 1)), client_state
    if "model" not in client_state and not extra.get("reference"):
        raise Refused("this site has lost its model of dynamic averaging; it waits for the next average")
    if do == "send":
        return Report(client_state["model"], client_state["examples"]), client_state
    reference = task.weights if extra.get("reference") else client_state["reference"]
    fitted = learner.fit(task.weights or client_state["model"])
    refuse_nan(fitted)
    gap = _gap(fitted.weights, reference)
    sends = do == "synchronise" or gap > extra["delta"]
    report = Report(fitted.weights if sends else {}, fitted.examples, {**fitted.metrics, "distance": gap})
    if do == "synchronise":  # the next task brings the average: until then the delivered model is in use
        return report, {}
    return report, {"model": fitted.weights, "reference": reference, "examples": fitted.examples}


def _personalise(task: Task, learner: Learner, client_state: ClientState) -> w.Weights:
    return {**task.weights, **client_state.get("model", {})}


def _expects(task: Task, report: Report) -> w.Weights:
    """Weights like the task's or the shapes that it states; none from a site that waits or need not send any."""
    if task.extra["do"] == "wait" or (task.extra["do"] == "train" and not report.weights):
        return {}
    return task.weights or {
        key: torch.empty(shape, dtype=getattr(torch, dtype), device="meta")
        for key, (dtype, shape) in task.extra["like"].items()
    }


def _shapes(weights: w.Weights) -> dict[str, Any]:
    return {key: [str(value.dtype).removeprefix("torch."), list(value.shape)] for key, value in weights.items()}


def _gap(left: w.Weights, right: w.Weights) -> float:
    return float(sum(value.square().sum() for value in w.difference(left, right).values()))

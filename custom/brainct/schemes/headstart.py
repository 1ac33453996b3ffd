"""Head start: one round solves the head in closed form, then an inner scheme trains the whole network from there.

This project's own, of three known parts: features that were learned elsewhere (here on a phantom, without a patient),
the closed form of ridge (Hoerl, Kennard, Technometrics 1970; in one federated round as in AFL, He et al., CVPR 2025),
and training from the solved head (as LP-FT: Kumar, Raghunathan, Jones, Ma, Liang: Fine-Tuning can Distort Pretrained
Features and Underperform Out-of-Distribution, ICLR 2022).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch

from brainct.core.arguments import Positive
from brainct.core.learner import Layer, Learner, Model
from brainct.core.scheme import (
    About,
    ClientState,
    Inner,
    Memory,
    Need,
    Report,
    Scheme,
    Task,
    as_delivered,
    names_in,
    registered,
)
from brainct.core.weights import Weights
from brainct.errors import Refused
from brainct.schemes._gram import GRAMS, expected, head_of, matrices_of, solve_head
from brainct.schemes.fedavg import fedavg

ABOUT = About(
    paper="this project, after AFL (He et al., CVPR 2025) and LP-FT (Kumar et al., ICLR 2022)",
    family="wrappers",
    summary="Round 0 fits the last layer of the start model to all sites at once; then the inner scheme trains.",
    when="there is a start model and few rounds; after 30 rounds no lead over `feddyn` was seen",
    sends="round 0: P to and 8 F (D+1) (D+2) bytes from each site, F the findings, D the head's inputs; then as the "
    "inner scheme",
    client_state="as the inner scheme, and a digest of the model whose features it sent",
    lost_site="in round 0: its scans have no share in the solved head; later: as in the inner scheme",
    privacy="in round 0 as `ridge`, so use secure aggregation around it; later as the inner scheme",
    blocks={
        "update_noise": "in round 0 sites send sums over the features of scans, which are not an update of a model",
        "private_training": "in round 0 sites send sums over the features of their scans without noise",
    },
)

NEEDS: frozenset[Need] = frozenset({"network", "labels"})


@registered(ABOUT)
def headstart(inner: Inner | None = None, lam: Positive = 1.0) -> Scheme:
    """Round 0: w_head = the ridge head of all sites' scans; from round 1 on the inner scheme, which starts from it.

    inner: the scheme that trains; null for `fedavg()`.
    lam: lambda of the ridge, > 0, see `ridge`.

    The thought, of LP-FT: the gradients of a new head move features that were good, at each site in another direction.
    The solved head starts where the loss is already low for these features, and is the same for every partition of the
    scans. That sites then move less was not measured.

    A round 0 that no site answered is repeated. The inner scheme's round 0 is the round after it; sites that were lost
    in it take part like any other. A scheme whose sites keep a head of their own starts from the solved one where it
    takes the model from the task. Peak memory: the inner scheme's, and two sets of 2 F matrices.
    """
    base = inner if inner is not None else fedavg()
    if doubled := {"headstart", "ridge"} & {*names_in(base.name, base.arguments)}:
        raise Refused(f"headstart: inner is or holds {min(doubled)}, which solves the head too; choose another inner")

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        if model.rounds == 1:
            raise Refused("headstart: the run has 1 round, which only solves the head; take `ridge`, or more rounds")
        about = asdict(replace(model, weights={}))
        # begun: the round that is the inner scheme's round 0, or -1 before the head is solved
        return {"inner": {}, "begun": -1, "weights": model.weights, "model": about, "sites": list(sites), "seed": seed}

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        if memory["begun"] < 0:
            head = head_of(_model(memory, memory["weights"]), "headstart")
            return {site: Task(memory["weights"], {GRAMS: head}) for site in sites}
        return base.assign(memory["inner"], round - memory["begun"], sites)

    def follow(memory: Memory, round: int, reports: Mapping[str, Report]) -> Mapping[str, Task]:
        return {} if memory["begun"] < 0 else base.follow(memory["inner"], round - memory["begun"], reports)

    def reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
        if GRAMS in task.extra:
            return matrices_of(task, learner, client_state, "headstart")
        report, within = base.reply(task, learner, client_state.get("inner", {}))
        return report, {**client_state, "inner": within}

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        if memory["begun"] >= 0:
            return {**memory, "inner": base.combine(memory["inner"], round - memory["begun"], reports)}
        model = _model(memory, memory["weights"])
        grams = torch.stack([report.weights[GRAMS] for report in reports.values()]).sum(0)
        weights = {**model.weights, **solve_head(grams, model.weights, head_of(model, "headstart"), lam)}
        rounds = max(0, model.rounds - round - 1)
        within = base.start(replace(model, weights=weights, rounds=rounds, given=True), memory["sites"], memory["seed"])
        return {**memory, "inner": within, "begun": round + 1, "weights": {}}

    def expects(task: Task, report: Report) -> Weights:
        return expected(task) if GRAMS in task.extra else base.expects(task, report)

    def model(memory: Memory) -> Weights:
        return memory["weights"] if memory["begun"] < 0 else base.model(memory["inner"])

    def extra(memory: Memory) -> Mapping[str, Any]:
        return {} if memory["begun"] < 0 else base.extra(memory["inner"])

    def adapt_input(task: Task, learner: Learner, client_state: ClientState) -> Learner:
        return base.adapt_input(task, learner, client_state.get("inner", {}))

    def personalise(task: Task, learner: Learner, client_state: ClientState) -> Weights:
        return base.personalise(task, learner, client_state.get("inner", {}))

    def aggregation_weight(task: Task, report: Report) -> float:
        return base.aggregation_weight(task, report) if base.aggregation_weight and GRAMS not in task.extra else 1.0

    def sent_model(task: Task, report: Report) -> Weights:
        return base.sent_model(task, report) if base.sent_model and GRAMS not in task.extra else {}

    five = replace(base, start=start, assign=assign, reply=reply, combine=combine, model=model, follow=follow)
    own = base.personalise if base.personalise is as_delivered else personalise
    nine = replace(five, expects=expects, extra=extra, adapt_input=adapt_input, personalise=own)
    ten = replace(nine, sent_model=sent_model if base.sent_model else None)
    summed = aggregation_weight if base.aggregation_weight else None
    return replace(ten, aggregation_weight=summed, hides_updates=False, fixed_members=False, needs=base.needs | NEEDS)


def _model(memory: Memory, weights: Weights) -> Model:
    """The model before round 0, from plain data."""
    about = memory["model"]
    layers = tuple(Layer(**{**one, "keys": tuple(one["keys"])}) for one in about["layers"])
    return Model(**{**about, "weights": weights, "layers": layers, "outputs": tuple(about["outputs"])})

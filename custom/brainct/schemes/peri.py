"""PERI: sites score families of columns, the server searches one graph of causes by the sum, worst or median score.

Mian, Kaltenpoth, Kamp, Vreeken: Nothing but Regrets, Privacy-Preserving Federated Causal Discovery, AISTATS 2023. Sum
and median, and that a lost site is taken out of all scores, are this project's addition.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from brainct.core.arguments import CountOrZero, NotNegative
from brainct.core.learner import Learner, Model
from brainct.core.scheme import ClientState, Memory, Report, Scheme, Task, registered
from brainct.core.weights import Weights
from brainct.graphs import search
from brainct.graphs.aggregate import Aggregate
from brainct.graphs.cpdag import forbidden_of
from brainct.schemes import _families, _peri_said, _peri_server, _peri_site
from brainct.schemes._families import CAUSAL

ABOUT = replace(
    CAUSAL,
    paper="Mian, Kaltenpoth, Kamp, Vreeken, AISTATS 2023",
    summary="Sites score sets of causes for each column, and the server searches the one graph that fits all sites.",
    when="columns of tables depend on each other in nearly linear ways, and the graph is the same at all sites",
    sends="a list of families to, and 8 bytes for each of them from each site; one round more than the graph has edges",
    client_state="with `min` and `median` the scores of its own graph",
)
Parents = Annotated[int, Field(ge=1, le=10)]
Names = Sequence[Sequence[str]]


@registered(ABOUT)
def peri(
    aggregate: Aggregate = "sum",
    score: Literal["bic", "mdl"] = "bic",
    baseline: Literal["cpdag", "dag"] = "cpdag",
    outer_loop: Annotated[int, Field(ge=0, le=10)] = 0,
    max_parents: Parents = 5,
    min_sites: CountOrZero = 2,
    tiers: Names = (),
    forbidden: Names = (),
    noise_nats: NotNegative = 0.0,
) -> Scheme:
    """Greedy equivalence search on S(i, pa) = aggregate over sites k of L_k(i | pa) - base_k(i), asked for in batches.

    aggregate: `sum`; `min`, the paper's largest regret; `median`, m times the median over the sites of what a step
    gains. score: L_k, the Gaussian `bic` or `mdl`, minus the description length with splines. baseline: base_k of
    `min`, the score of the site's own graph: `cpdag` with all adjacent columns but children, `dag` with the parents in
    one DAG of the class; from the median it cancels out. outer_loop: how often at most the found graph becomes the new
    baseline. max_parents: of a column. min_sites: with fewer left the search stops, and its graph is incomplete. tiers:
    lists of columns, causes of later ones only; forbidden: [cause, effect] pairs. noise_nats: scale of Laplace noise
    that a site adds to each score; it is no privacy guarantee.

    One Byzantine site decides the minimum and spoils the sum; the median of the gains withstands it. Minimum and median
    differ between DAGs of a class, the sum does not. Under the sum the base is the score without parents, and only a
    sum over sites is needed: a graph under secure aggregation is the same. Rounds after the search ended ask for
    nothing. Peak memory: 8 bytes for each family and site.
    """

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        p, names = len(model.weights["graph"]), model.outputs
        _families.check_variables(p)
        banned = forbidden_of(
            _families.numbers_of(names, tiers, "tiers"), _families.numbers_of(names, forbidden, "forbidden"), p
        )
        memory = {**_families.opened(sites, p), "forbidden": torch.from_numpy(banned), "max_parents": max_parents}
        memory |= _peri_server.begun(search.start(p)) | {"earlier": [], "base": None, "silent": {}}
        return memory if aggregate == "sum" else {**memory, "phase": _peri_site.LEARN}

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        extra = _peri_server.asked(memory, aggregate, min_sites)
        return {} if extra is None else {site: Task({}, extra) for site in _families.there(memory) if site in sites}

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        return _peri_server.combined(memory, reports, aggregate, min_sites, outer_loop)

    def reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
        return _peri_site.replied(
            task, learner, client_state, score, baseline if aggregate != "sum" else "", noise_nats
        )

    def extra(memory: Memory) -> Mapping[str, Any]:
        chosen = {"aggregate": aggregate, "score": score, "noise_nats": noise_nats}
        return _peri_said.said(memory, aggregate) | chosen

    five = (start, assign, reply, combine, _peri_said.delivered)
    weight = (lambda task, report: 1.0) if aggregate == "sum" and not noise_nats else None
    return Scheme(*five, expects=_expects, extra=extra, aggregation_weight=weight, needs=frozenset({"columns"}))


def _expects(task: Task, report: Report) -> Weights:
    if task.extra["ask"] == _peri_site.LEARN:
        return {"silent": torch.empty(task.extra["variables"], dtype=torch.uint8, device="meta")}
    return _families.expected(task, "scores")

"""PERI and ORION together: one graph and, for each column, one shared mechanism and the sites that have their own.

Mian, Kaltenpoth, Kamp, Vreeken, AISTATS 2023, and Mian, Kamp, Vreeken, AAAI 2023, name the combination as their next
goal; score and searches are this project's own (see graphs/environments.py and graphs/relay.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from brainct.core.arguments import CountOrZero
from brainct.core.learner import Learner, Model
from brainct.core.scheme import ClientState, Memory, Report, Scheme, Task, registered
from brainct.core.weights import Weights
from brainct.errors import Refused
from brainct.graphs import noise
from brainct.graphs.cpdag import forbidden_of
from brainct.schemes import _families, _moments_of_sites, _relay, _relay_site
from brainct.schemes._families import CAUSAL, HIDES
from brainct.schemes.peri import Names, Parents, peri

ABOUT = replace(
    CAUSAL,
    paper="this project's; after Mian, Kaltenpoth, Kamp, Vreeken, AISTATS 2023 and Mian, Kamp, Vreeken, AAAI 2023",
    summary="One graph of causes for sites that differ, and for each column which sites have another mechanism.",
    when="sites differ in scanners, treatment or coding, and it matters which columns that changes",
    sends="with `moments` once 4 p (p + 3) bytes from each site, p the columns; with `regrets` as `peri`, then four "
    "rounds of numbers for the families that are left",
    client_state="with noise, the moments that it sent",
    lost_site="with `moments` asked again in the next round; with `regrets` as `peri`",
    privacy="with `moments` means and covariances of a site's columns leave as they are and hide rows alone; "
    f"`dp_epsilon` adds noise to them. With `regrets` the {HIDES}",
    blocks={
        **CAUSAL.blocks,
        "secure_aggregation": "which sites differ can't be told from a sum over all sites",
    },
)
Epsilon = Annotated[float, Field(gt=0, le=1)] | None


@registered(ABOUT)
def peri_environments(
    share: Literal["moments", "regrets"] = "moments",
    offsets: Literal["ignore", "mechanism"] = "ignore",
    max_parents: Parents = 5,
    min_sites: CountOrZero = 2,
    tiers: Names = (),
    forbidden: Names = (),
    dp_epsilon: Epsilon = None,
    scale: Sequence[Sequence[float]] = (),
) -> Scheme:
    """Maximises J(G, D) = sum_i { l(shared_i) - pen + sum_{k in D_i} [l(own_ik) - pen - log m] }.

    share: `moments`, means and covariances once, and the search is the server's; `regrets`, PERI's sum of scores, then
    relayed coefficients for the families of the found class. offsets: whether another intercept is another
    `mechanism`. max_parents: of a column. min_sites: with fewer left there is no graph. tiers: lists of columns, causes
    of later ones only; forbidden: [cause, effect] pairs. dp_epsilon: of a Gaussian mechanism on each site's clipped
    moments, at delta 1e-5. scale: for it, public [centre, deviation > 0] of each column, never from the data.

    D_i: the sites that have a mechanism of their own for column i; l: the largest Gaussian log-likelihood; pen = 1/2
    (|pa| + 1) log N. An edge stays undirected if a graph within 2 nats has it the other way. If fewer than half of the
    sites share a mechanism, read groups, not changes. Peak memory: the moments of all sites.
    """
    if dp_epsilon is not None and share == "regrets":
        raise Refused("peri_environments: dp_epsilon needs share moments; noise on scores is no such guarantee")
    inner = peri(max_parents=max_parents, min_sites=min_sites, tiers=tiers, forbidden=forbidden)

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        p, names = len(model.weights["graph"]), model.outputs
        _families.check_variables(p)
        if dp_epsilon is not None and (len(scale) != p or any(len(one) != 2 or one[1] <= 0 for one in scale)):
            wanted = f"{p} public [centre, deviation] pairs, deviation > 0"
            raise Refused(f"peri_environments: dp_epsilon needs `scale`, {wanted}")
        if share == "regrets":
            return {"peri": inner.start(model, sites, seed), "stage": {}, "sites": sorted(sites)}
        tiered = _families.numbers_of(names, tiers, "tiers"), _families.numbers_of(names, forbidden, "forbidden")
        banned = torch.from_numpy(forbidden_of(*tiered, p))
        return {**_families.opened(sites, p), "forbidden": banned, "moments": {}, "found": {}}

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        if share == "moments":
            waiting = [site for site in memory["sites"] if site not in memory["moments"] and site in sites]
            return {site: Task({}, {"variables": memory["p"]}) for site in waiting}
        first = inner.assign(memory["peri"], round, sites)
        return first or _relay.assigned(memory, sites, min_sites)

    def reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
        if share == "moments":
            return _moments_of_sites.replied(task, learner, client_state, dp_epsilon, scale)
        if "ask" in task.extra and task.extra["ask"] == "scores":
            return inner.reply(task, learner, client_state)
        return _relay_site.replied(task, learner, client_state)

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        if share == "moments":
            return _moments_of_sites.combined(memory, reports, max_parents, offsets == "mechanism", min_sites)
        if inner.assign(memory["peri"], round, memory["sites"]):
            return {**memory, "peri": inner.combine(memory["peri"], round, reports), "stage": {}}
        return _relay.combined(memory, reports, min_sites)

    def expects(task: Task, report: Report) -> Weights:
        if share == "moments":
            p = task.extra["variables"]
            return {key: torch.empty(shape, dtype=torch.float64, device="meta") for key, shape in _shapes(p).items()}
        return inner.expects(task, report) if task.extra["ask"] == "scores" else _relay_site.expected(task)

    def model(memory: Memory) -> Weights:
        return _moments_of_sites.delivered(memory) if share == "moments" else _relay.delivered(memory)

    def extra(memory: Memory) -> Mapping[str, Any]:
        found = _moments_of_sites.said(memory) if share == "moments" else _relay.said(memory)
        if dp_epsilon is not None and (rows := found["rows"]):
            price = noise.price(min(rows.values()), len(scale), dp_epsilon)
            found = {**found, "warnings": [*found["warnings"], price]}
        return {**found, "share": share, "dp_epsilon": dp_epsilon}

    five = (start, assign, reply, combine, model)
    return Scheme(*five, expects=expects, extra=extra, needs=frozenset({"columns"}))


def _shapes(p: int) -> dict[str, tuple[int, ...]]:
    return {"mean": (p,), "covariance": (p * (p + 1) // 2,)}

"""The server's memory in FedMA, before and after one more layer is matched.

chain: the links of the chain, as rows. widths: of the layers before round 0. model: the delivered network. models:
{site: its network}. places: {site: for each matched layer, the global units of its own}. labelled: {site: its labelled
training scans by output}, which weight the head's rows.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from brainct.core import matching
from brainct.core.matching import Floats, Indices, Link
from brainct.core.scheme import Memory, Report


def chain_in(memory: Memory) -> list[Link]:
    """The links of the chain."""
    return [Link(**row) for row in memory["chain"]]


def received(memory: Memory, layer: int, reports: Mapping[str, Report]) -> dict[str, Any]:
    """The memory with the sites' layers from this one on; places of earlier layers stay."""
    keys = [key for link in chain_in(memory)[layer:] for key in link.keys]
    sent = {site: {key: report.weights[key] for key in keys} for site, report in reports.items()}
    counts = {site: report.extra["labelled"] for site, report in reports.items()}
    return {
        **memory,
        "models": {site: {**own, **sent.get(site, {})} for site, own in memory["models"].items()},
        "places": {site: places[:layer] for site, places in memory["places"].items()},
        "labelled": {**memory["labelled"], **counts},
    }


def matched(memory: Memory, layer: int, match: Callable[[list[Floats]], list[Indices]]) -> dict[str, Any]:
    """The memory after one more layer is matched: its mean is the same at all sites, the next one reads the places."""
    link, following = chain_in(memory)[layer : layer + 2]
    sites = sorted(memory["models"])
    models = [memory["models"][site] for site in sites]
    found = match([matching.atoms(weights, link) for weights in models])
    return {
        **memory,
        "models": dict(zip(sites, matching.share_mean(models, link, following, found), strict=True)),
        "places": {site: [*memory["places"][site], place.tolist()] for site, place in zip(sites, found, strict=True)},
    }


def global_network(memory: Memory) -> dict[str, Any]:
    """The global network: what all sites have in common once all hidden layers are matched, with the mean head."""
    head, sites = chain_in(memory)[-1], sorted(memory["models"])
    models = [memory["models"][site] for site in sites]
    none = [0] * len(models[0][head.weight])
    shares = np.array([memory["labelled"].get(site, none) for site in sites], dtype=np.float64)
    return {**models[0], **matching.mean_of_rows(models, head, shares)}

"""FedMA, federated matched averaging: layer by layer, units of different sites are matched and averaged.

Wang, Yurochkin, Sun, Papailiopoulos, Khazaeni: Federated Learning with Matched Averaging, ICLR 2020, Algorithm 1, with
communication (section 2.3); the matching is BBP-MAP of Yurochkin et al., ICML 2019, in `brainct.core.matching`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Annotated

from pydantic import Field

from brainct.core import matching
from brainct.core import weights as w
from brainct.core.arguments import Count, Positive
from brainct.core.determinism import generator
from brainct.core.learner import Learner, Model
from brainct.core.report_check import MOST
from brainct.core.scheme import About, ClientState, Memory, Report, Scheme, Task, every, registered
from brainct.errors import Refused
from brainct.schemes._layer_matching import chain_in, global_network, matched, received
from brainct.schemes._sequential import chain_of

ABOUT = About(
    needs_all_rounds="its layers are matched one after the other over a whole pass",
    paper="Wang et al., ICLR 2020, Algorithm 1",
    family="matching",
    summary="Layer by layer, the server finds the units of different sites that do the same, and averages those.",
    when="sites train long between rounds, and the network is a plain chain without normalisation",
    sends="P to each site, and the layers that are not frozen yet, at most P, from each; P grows with the widths",
    client_state="how many scans of each finding are labelled",
    lost_site="the layer waits for it; if a job sets a lower quorum, the server's copy of its model is matched",
    privacy="the server sees each site's layers one by one; no secure aggregation",
    blocks={
        "secure_aggregation": "the server must see single models to match their units",
        "update_noise": "sites send layers whose widths differ from those they were given, and counts of labels",
        "private_training": "sites send how many of their scans have each label, without noise",
    },
)

Growth = Annotated[float, Field(ge=1)]


@registered(ABOUT)
def fedma(gamma: Positive = 1.0, noise: Positive = 1.0, growth: Growth = 1.5, sweeps: Count = 5) -> Scheme:
    """In round t, layer l = t mod L of all sites is matched, averaged and frozen; the layers after it are retrained.

    gamma: gamma_0, mass of the Beta-Bernoulli process, > 0; more grows layers more (7 in the authors' code).
    noise: sigma^2 / sigma_0^2, > 0.
    growth: width of a layer over its original one, at most, >= 1; 1 keeps all widths.
    sweeps: of the matching over all sites, >= 1.

    A pass is L rounds, L the layers of the chain; a run should have a whole number of passes. A unit's mean is that of
    the sites that have it. The head's row of a finding is averaged by the sites' labelled scans of that finding, of
    both classes, as both train it. After a pass each site continues with its own units of the global network, in the
    original width. Before a pass is over the delivered network is the one in which the later layers are matched too,
    without retraining. All sites are needed: the layer waits. Plain chains (`vgg-small`) only. Peak memory: 4m models.
    """
    prior = matching.Prior(gamma, noise)

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        chain = chain_of(model, ("vgg-small",), "fedma")
        return {
            "seed": seed,
            "chain": [asdict(link) for link in chain],
            "widths": [len(model.weights[link.weight]) for link in chain],
            "model": model.weights,
            "models": dict.fromkeys(sites, model.weights),
            "places": {site: [] for site in sites},
            "labelled": {},
        }

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        chain = chain_in(memory)
        frozen = [key for link in chain[: round % len(chain)] for key in link.keys]
        return {site: Task(memory["models"][site], {"frozen": frozen}) for site in sites}

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        chain = chain_in(memory)
        layer, last = round % len(chain), len(chain) - 1
        steps = [received(memory, layer, reports)]
        for later in range(layer, last):
            order, most = generator(memory["seed"], "fedma", round, later), int(growth * memory["widths"][later])
            match = partial(matching.bbp_map, prior=prior, most=most, sweeps=sweeps, order=order)
            steps.append(matched(steps[-1], later, match))
        network = global_network(steps[-1])
        if layer < last:
            return {**steps[1], "model": network}
        own = {site: matching.own_units(network, chain, places) for site, places in steps[0]["places"].items()}
        return {**steps[0], "model": network, "models": own}

    return Scheme(
        start,
        assign,
        _reply,
        combine,
        model=lambda memory: memory["model"],
        quorum=every,
        expects=_expects,
        needs=frozenset({"network", "labels"}),
    )


def _reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
    """Retrain what is not frozen and send it, with the counts that weigh the head's rows."""
    frozen = task.extra["frozen"]
    if "labelled" not in client_state:
        _, labels = learner.samples("train")
        client_state = {**client_state, "labelled": labels.isfinite().sum(0).tolist()}
    fitted = learner.fit(task.weights, frozen=frozen)
    sent = {key: value for key, value in fitted.weights.items() if key not in frozen}
    return Report(sent, fitted.examples, fitted.metrics, {"labelled": client_state["labelled"]}), client_state


def _expects(task: Task, report: Report) -> w.Weights:
    """The layers that are not frozen; counts that can't be counts are refused here, at the door."""
    counts, findings = report.extra.get("labelled"), len(list(task.weights.values())[-1])
    known = counts if isinstance(counts, list) else []
    if len(known) != findings or not all(type(count) is int and 0 <= count <= MOST for count in known):
        wanted = f"{findings} whole numbers from 0 to {MOST:,}, one a finding"
        raise Refused(f"labelled scans are {counts!r:.80}; wanted {wanted}")
    return {key: value for key, value in task.weights.items() if key not in task.extra["frozen"]}

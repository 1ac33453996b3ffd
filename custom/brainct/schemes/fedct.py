"""FedCT: federated co-training; sites share hard labels of a public set and train on the majority's labels.

Abourayya, Kleesiek, Rao, Ayday, Rao, Webb, Kamp: Little is Enough: Boosting Privacy by Sharing Only Hard Labels in
Federated Semi-Supervised Learning, AAAI 2025. Abstention, warm-up and the weight of a site's own scans are additions.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from brainct.core import weights as w
from brainct.core.arguments import AtLeastHalf, CountOrZero, Period, Positive, rounds_of
from brainct.core.determinism import generator
from brainct.core.learner import Learner, Model, PublicLabels
from brainct.core.scheme import About, ClientState, Memory, Need, Report, Scheme, Task, majority, registered
from brainct.errors import Refused
from brainct.schemes._forest import forest, kinds_of, refuse_unknown
from brainct.schemes._partial import refuse_nan
from brainct.schemes._votes import KNOWN, VOTES, Ballot, check_asked, count_votes, pack, pseudo_labels

ABOUT = About(
    paper="Abourayya et al., AAAI 2025",
    family="co-training",
    summary="Sites send no model: each labels a shared public set, and all train on the labels of the majority.",
    when="sites want different models, or no model may leave a site; it needs a public set like their scans",
    sends="each `period` F(|U|+1)/8 bytes from a site, F|U|/8 back (twice with `agreement`); F findings, U public",
    client_state="its model, P, and the last consensus",
    lost_site="one vote fewer; it gets the consensus with its next task",
    privacy="the server sees each site's labels of the public scans, optionally flipped at random, and no weights",
    blocks={
        "secure_aggregation": "sites send votes as packed bits, which can't be summed",
        "update_noise": "sites send labels, not updates; `epsilon` flips each: F |U| epsilon a vote, added up over the "
        "votes",
        "private_training": "sites also send which labels they have; its own `epsilon` is the noise on their votes",
    },
)


@registered(ABOUT)
def fedct(
    period: Period = 2,
    warmup: CountOrZero = 4,
    findings: Sequence[str] = ("any",),
    agreement: AtLeastHalf | None = None,
    own: AtLeastHalf = 0.5,
    forests: Sequence[str] = (),
    trees: Sequence[str] = (),
    rules: Sequence[str] = (),
    epsilon: Positive | None = None,
) -> Scheme:
    """P(x) is the label that most sites give x in U; site i trains on D_i and {(x, P(x)): x in U}; P is empty at first.

    period: b, rounds between two votes, >= 1, null for never. warmup: rounds before the first vote, >= 0.
    findings: the outputs of the model that sites vote on, C = 2 each.
    agreement: least share of equal votes, in [0.5, 1], for a label; null for none.
    own: share of D_i in the loss, in [0.5, 1]; 1 ignores the votes.
    forests, trees, rules: sites with a random forest, a decision tree or rules (see `_forest`) instead of the network.
    epsilon: > 0, of randomised response; null sends labels without noise.

    A site votes on the findings that it labels itself, which its first F bits say; the others are h_i(U), from 0.5 on.
    A coin for each scan and finding, from the server's seed, breaks ties. Sites train first, then vote in the rounds
    t + 1 = 0 mod b; in all other rounds no tensor travels, save a consensus to a site not yet known to have it.
    `_votes.flip_rate` states what epsilon covers. Flips derive from the site's BRAINCT_SECRET, epsilon and the labels,
    so that a repeated request repeats them; without the secret a site refuses, and a rehearsal draws flips that anybody
    can derive: no privacy, only its cost.

    A held-out site gets the consensus, in `extra`, and trains its own model: `_votes.delivered_labels` has the public
    labels of Learner.fit; the weights given out are those before round 0. Peak memory: one model and the votes.
    """
    ballot, often = Ballot(list(findings)), rounds_of(period)
    kinds = kinds_of(forests, trees, rules)

    def votes_in(round: int) -> bool:
        return round >= warmup and (round + 1) % often == 0

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        ballot.columns(model.outputs)
        refuse_unknown(kinds, sites)
        if model.given or model.public < 1:
            start = "only labels travel; omit the start model"
            raise Refused(f"fedct: {start if model.given else 'the public set has no scans; give every site the same'}")
        said = {"round": -1, "told": dict.fromkeys(sites, -1), "consensus": {}}
        return {"weights": model.weights, "seed": seed, "scans": model.public, **said}

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        extra = {"scans": memory["scans"], "vote": votes_in(round)}
        news = {site: memory["consensus"] if memory["told"][site] < memory["round"] else {} for site in sites}
        return {site: Task(news[site], {**extra, "forest": site in kinds}) for site in sites}

    def reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
        check_asked(task.extra, learner.site in kinds, client_state, sum(map(votes_in, range(learner.round + 1))))
        consensus = dict(task.weights) or client_state.get("consensus", {})
        pseudo, outputs = labels_of(consensus, learner, task.extra["scans"]), learner.initial().outputs
        votes = client_state.get("votes", 0) + bool(task.extra["vote"])
        kept = {"consensus": consensus, "forest": task.extra["forest"], "votes": votes}
        (samples, labels), metrics = learner.samples("train"), {}
        if task.extra["forest"]:
            own_weights, seeing = learner.initial().weights, _grown(learner, kept, task.extra["scans"])
        else:
            given = None if pseudo is None else PublicLabels(pseudo, own)
            fitted = learner.fit(_own(task, learner, client_state), public_labels=given)
            refuse_nan(fitted)
            own_weights, seeing, metrics = fitted.weights, learner, fitted.metrics
            kept = {**kept, "weights": fitted.weights}
        if not task.extra["vote"]:
            return Report({}, len(samples), metrics if epsilon is None else {}), kept
        bits = ballot.filled(seeing.predict(own_weights, "public"), labels, outputs)
        if epsilon is not None:
            bits = ballot.flip(bits, epsilon, learner.credentials)
        return Report({VOTES: pack(bits)}, len(samples), metrics if epsilon is None else {}), kept

    def expects(task: Task, report: Report) -> w.Weights:
        return {VOTES: ballot.empty(task.extra["scans"] + 1)} if task.extra["vote"] else {}

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        told, scans = {**memory["told"], **dict.fromkeys(reports, memory["round"])}, memory["scans"]
        votes = [ballot.read(one.weights[VOTES], scans + 1) for one in reports.values() if VOTES in one.weights]
        if not votes:
            return {**memory, "told": told}
        coin = generator(memory["seed"], "fedct", "ties", round).random((scans, len(findings))) < 0.5
        labels, known = count_votes(votes, coin, agreement)
        consensus = {VOTES: pack(labels), **({} if known.all() else {KNOWN: pack(known)})}
        return {**memory, "told": told, "round": round, "consensus": consensus}

    def extra(memory: Memory) -> Mapping[str, Any]:
        consensus = {name: bits.numpy().tobytes().hex() for name, bits in memory["consensus"].items()}
        return {"fedct": {"findings": list(findings), "scans": memory["scans"], **consensus}}

    def adapt_input(task: Task, learner: Learner, client_state: ClientState) -> Learner:
        return _grown(learner, client_state, task.extra["fedct"]["scans"]) if client_state.get("forest") else learner

    def _grown(learner: Learner, kept: ClientState, scans: int) -> Learner:
        pseudo = labels_of(kept["consensus"], learner, scans)
        return learner.adapted(predictor=forest(learner, pseudo, own, kinds[learner.site]))

    def labels_of(consensus: w.Weights, learner: Learner, scans: int) -> Tensor | None:
        return pseudo_labels(ballot, consensus, scans, learner.initial().outputs) if consensus and own < 1 else None

    five = (start, assign, reply, combine, lambda memory: memory["weights"])
    halves = (*five, majority, expects, _own, adapt_input, extra)
    needs: list[Need] = ["public", "labels", "samples"] if kinds else ["public", "labels"]
    spent = math.inf if epsilon is None else float(epsilon)
    return Scheme(*halves, public=True, label_epsilon=spent, needs=frozenset(needs))


def _own(task: Task, learner: Learner, client_state: ClientState) -> w.Weights:
    own: w.Weights = client_state["weights"] if "weights" in client_state else learner.initial().weights
    return own

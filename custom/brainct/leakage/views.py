"""What each attacker sees of a federation, and how he asks it: the confidence of a model on every scan of a pool."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from brainct.core import serialization
from brainct.core.learner import Learner
from brainct.core.scheme import Scheme, Task
from brainct.core.weights import Weights
from brainct.ct.config import ct_choices
from brainct.ct.learner import learner_of
from brainct.ct.model import model_of
from brainct.errors import Refused
from brainct.job.config import Plan
from brainct.leakage.rows import View, written
from brainct.schemes._votes import KNOWN, VOTES
from brainct.security.credentials import offline
from brainct.training.data import Dataset, Fold
from brainct.training.learner import TorchLearner

SERVER, SERVER_ALL = "server, last report", "server, all reports"
NEXT, FINAL, OWN = "next hospital", "final model", "own model, stolen"
SEES = {
    SERVER: "one site's last report, as it left the site: a model, a part of one, or votes on the public scans; of a "
    "sum alone (secure aggregation), the model that it makes",
    SERVER_ALL: "every report of one site; the confidences of its models are averaged",
    NEXT: "the model that a site is given right after another trained it, the last time that this happened",
    FINAL: "what a hospital outside the federation is given: the delivered model, or the consensus on the public scans",
    OWN: "the model that a site keeps for its own use; it never leaves, and nobody else has it unless it is stolen",
}
"""The attackers, and what each sees."""
STOLEN = (OWN,)
"""Attackers that the protocol gives nothing."""


@dataclass(frozen=True)
class Heard:
    """A task and the report that left a site for it."""

    round: int
    site: str
    given: Weights
    sent: Weights


class Spy:
    """Asks models about the pool of one site, whatever it trained on."""

    def __init__(self, plan: Plan, site: str, scans: Dataset):
        self.initial = dict(model_of(ct_choices(plan).network, plan.seed, plan.rounds).weights)
        self.pool: Fold = scans.folds["train"]
        self.learner = learner_of(ct_choices(plan), scans, offline(plan, site, plan.rounds))

    def asks(self, weights: Weights, learner: Learner | None = None) -> list[float]:
        """The confidence of a model, or of the initial one with a part in place of its own, on each scan."""
        asked = learner or self.learner
        if not isinstance(asked, TorchLearner) or asked.predictor is not None:
            raise Refused("a site whose model is no network can't be attacked: take `forests` out of the plan")
        with torch.no_grad():
            logits = asked.module({**self.initial, **weights})(self.pool.inputs.to(asked.data.device))
        return confidence(logits.cpu(), self.pool.labels).tolist()


def confidence(logits: Tensor, labels: Tensor) -> Tensor:
    """(N,) float64 log(p / (1 - p)) of p = exp(-loss), a scan's mean cross-entropy over its labelled outputs.

    Carlini et al., IEEE S&P 2022, section IV.C: of one output it is the logit towards the truth, nearly normal over
    models. logits, labels: (N, 6), labels NaN where unknown; a scan without a label has 0.
    """
    known = ~labels.isnan()
    signs = torch.where(labels == 1, -1.0, 1.0).double()
    losses = torch.where(known, softplus(logits.double() * signs), 0.0)
    loss = (losses.sum(1) / known.sum(1).clamp(min=1)).clamp(min=1e-12)
    return torch.where(known.any(1), -loss - torch.log(-torch.expm1(-loss)), 0.0)


def views(
    scheme: Scheme,
    spies: Mapping[str, Spy],
    heard: Sequence[Heard],
    task: Task,
    own: Mapping[str, tuple[Learner, Weights]],
) -> dict[str, View]:
    """Every attacker's view of one federation; those that see nothing are left out.

    heard: in order of rounds. task: the delivered model. own: at each site, the learner and the model in use.
    """
    found = {FINAL: final} if (final := _final(scheme, spies, task)) else {}
    if any(VOTES in one.sent for one in heard):
        found[SERVER] = View(votes={site: _votes(heard, site) for site in sorted(spies)})
    elif scheme.hides_updates:
        found |= {SERVER: final} if final else {}
    else:
        found |= _reports(spies, heard)
        handed = {site: spies[site].asks(weights) for site, weights in sorted(handed_on(heard).items())}
        found |= {NEXT: View(signals=handed)} if handed else {}
    if any(not same(weights, task.weights) for _, weights in own.values()):
        found[OWN] = View(signals={site: spies[site].asks(own[site][1], own[site][0]) for site in sorted(own)})
    return found


def _final(scheme: Scheme, spies: Mapping[str, Spy], task: Task) -> View | None:
    """None where what is delivered was there before round 0."""
    consensus = task.extra.get("fedct", {})
    if said := [consensus[name] for name in (VOTES, KNOWN) if name in consensus]:
        heard = written(np.unpackbits(np.frombuffer(bytes.fromhex("".join(said)), dtype=np.uint8)))
        return View(votes=dict.fromkeys(sorted(spies), heard))
    if same(task.weights, next(iter(spies.values())).initial):
        return None
    asked = {
        site: spy.asks(task.weights, scheme.adapt_input(task, spy.learner, {})) for site, spy in sorted(spies.items())
    }
    return View(signals=asked)


def _reports(spies: Mapping[str, Spy], heard: Sequence[Heard]) -> dict[str, View]:
    last, mean = View(), View()
    for site, spy in sorted(spies.items()):
        asked = [spy.asks(one.sent) for one in heard if one.site == site and one.sent]
        if asked:
            last.signals[site], mean.signals[site] = asked[-1], np.mean(asked, axis=0).tolist()
    return {SERVER: last, SERVER_ALL: mean} if last.signals else {}


def _votes(heard: Sequence[Heard], site: str) -> str:
    """All labels that a site gave in the run, 0 and 1."""
    sent = [one.sent[VOTES].numpy() for one in heard if one.site == site and VOTES in one.sent]
    return written(np.unpackbits(np.concatenate(sent))) if sent else ""


def handed_on(heard: Sequence[Heard]) -> dict[str, Weights]:
    """For each site the model that it reported and another site was given unchanged in the next round, the last such.

    heard: in order of rounds.
    """
    found, reports = {}, {(one.round, _digest(one.sent)): one for one in heard if one.sent}
    for one in heard:
        before = reports.get((one.round - 1, _digest(one.given))) if one.given else None
        if before is not None and before.site != one.site:
            found[before.site] = one.given
    return found


def same(left: Weights, right: Weights) -> bool:
    """Whether two models are the same to the bit."""
    return _digest(left) == _digest(right)


def _digest(weights: Weights) -> str:
    return serialization.sha256(dict(weights))

"""The attackers, what each sees of a federation, and their signal on each scan of a pool: a confidence, or a share."""

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
from brainct.leakage.federation_row import AttackerView, format_bits
from brainct.schemes._votes import KNOWN, VOTES
from brainct.security.credentials import offline
from brainct.training.data import Dataset, Fold
from brainct.training.learner import TorchLearner
from brainct.training.private import sample_gradients

SERVER, SERVER_ALL = "server, last report", "server, all reports"
GRADIENT, GRADIENTS = "server, last gradient", "server, all gradients"
NEXT, FINAL, OWN = "next hospital", "final model", "own model, stolen"
SEES = {
    SERVER: "one site's last report, as it left the site: a model, a part of one, or votes on the public scans; with "
    "secure aggregation, the model made from the sum",
    SERVER_ALL: "every report of one site; the confidences of its models are averaged",
    GRADIENT: "the last gradient of one site, as it left the site, taken apart into the gradients of the scans' losses",
    GRADIENTS: "every gradient of one site, each at the model that the site was given; the mean of the shares",
    NEXT: "the model that a site receives right after another site trained it, the last such",
    FINAL: "what a held-out site receives: the delivered model, or the consensus on the public scans",
    OWN: "the model that a site has for its own use; it never leaves the site, so an attacker must steal it",
}
"""By attacker, what it sees; the names are part of the ledger."""
BY_SHARE = (GRADIENT, GRADIENTS)
"""Attackers whose signal is not a confidence but a scan's share in a gradient."""
RIDGE = 1e-4
"""Of the mean square length of a scan's gradient: gradients of two scans can be nearly the same."""
STOLEN = (OWN,)
"""Attackers to whom the protocol gives nothing."""


@dataclass(frozen=True)
class Exchange:
    """A task's weights (`given`) and those of the report (`sent`) that left the site in that round."""

    round: int
    site: str
    given: Weights
    sent: Weights


class ModelProbe:
    """Evaluates models on the whole pool of one site, whichever half it trained on."""

    def __init__(self, plan: Plan, site: str, scans: Dataset):
        self.initial = dict(model_of(ct_choices(plan).network, plan.seed, plan.rounds).weights)
        self.pool: Fold = scans.folds["train"]
        self.learner = learner_of(ct_choices(plan), scans, offline(plan, site, plan.rounds))

    def confidences(self, weights: Weights, learner: Learner | None = None) -> list[float]:
        """The confidence of a model on each scan; a part of a model replaces that part of the initial one."""
        model = learner or self.learner
        if not isinstance(model, TorchLearner) or model.predictor is not None:
            raise Refused("got a site whose model is not a network; remove `forests` from the study file")
        with torch.no_grad():
            logits = model.module({**self.initial, **weights})(self.pool.inputs.to(model.data.device))
        return confidence(logits.cpu(), self.pool.labels).tolist()

    def shares(self, weights: Weights, gradient: Weights) -> list[float]:
        """How much of each scan is in a gradient that was sent: 1 over the batch for a scan of it, 0 for the others.

        So it is where the site did not augment; else about so. The shares are the coefficients with which the gradients
        of the scans' losses at these weights add up to the one that was sent, by least squares with a penalty of RIDGE.
        """
        learner = self.learner
        learner.module({**self.initial, **weights})
        moving = {name: value for name, value in learner.network.named_parameters() if name in gradient}
        sent = torch.cat([gradient[name].flatten() for name in sorted(moving)]).double()
        scans = self.pool.inputs.to(learner.data.device), self.pool.labels.to(learner.data.device)
        each = sample_gradients(learner.task.loss, learner.network, moving, learner.network_input, *scans)
        rows = each.cpu().double()
        products = rows @ rows.T
        penalty = RIDGE * products.diagonal().mean().clamp(min=torch.finfo(torch.float64).tiny)
        found: list[float] = torch.linalg.solve(products + penalty * torch.eye(len(rows)), rows @ sent).tolist()
        return found


def confidence(logits: Tensor, labels: Tensor) -> Tensor:
    """(N,) float64 log(p / (1 - p)) of p = exp(-loss), a scan's mean cross-entropy over its labelled outputs.

    Carlini et al., IEEE S&P 2022, section IV.C: for one output it is the logit of the true class, nearly normal over
    models. logits, labels: (N, 6), labels NaN where unknown; a scan without a label has 0.
    """
    known = ~labels.isnan()
    signs = torch.where(labels == 1, -1.0, 1.0).double()
    losses = torch.where(known, softplus(logits.double() * signs), 0.0)
    loss = (losses.sum(1) / known.sum(1).clamp(min=1)).clamp(min=1e-12)
    return torch.where(known.any(1), -loss - torch.log(-torch.expm1(-loss)), 0.0)


def attacker_views(
    scheme: Scheme,
    probes: Mapping[str, ModelProbe],
    exchanges: Sequence[Exchange],
    task: Task,
    own: Mapping[str, tuple[Learner, Weights]],
) -> dict[str, AttackerView]:
    """Every attacker's view of one federation; attackers that see nothing are left out.

    exchanges: in order of rounds. task: the delivered model. own: by site, the learner and the model in use.
    """
    found = {FINAL: final} if (final := _final(scheme, probes, task)) else {}
    if any(VOTES in one.sent for one in exchanges):
        found[SERVER] = AttackerView(votes={site: _votes(exchanges, site) for site in sorted(probes)})
    elif scheme.hides_updates:
        found |= {SERVER: final} if final else {}
    elif scheme.sent_gradient is not None:
        found |= _gradients(scheme, probes, exchanges)
    else:
        found |= _reports(probes, exchanges)
        forwarded = {
            site: probes[site].confidences(weights) for site, weights in sorted(forwarded_models(exchanges).items())
        }
        found |= {NEXT: AttackerView(signals=forwarded)} if forwarded else {}
    if any(not identical(weights, task.weights) for _, weights in own.values()):
        found[OWN] = AttackerView(
            signals={site: probes[site].confidences(own[site][1], own[site][0]) for site in sorted(own)}
        )
    return found


def _final(scheme: Scheme, probes: Mapping[str, ModelProbe], task: Task) -> AttackerView | None:
    """None if the delivered model is the initial one."""
    consensus = task.extra.get("fedct", {})
    if parts := [consensus[name] for name in (VOTES, KNOWN) if name in consensus]:
        votes = format_bits(np.unpackbits(np.frombuffer(bytes.fromhex("".join(parts)), dtype=np.uint8)))
        return AttackerView(votes=dict.fromkeys(sorted(probes), votes))
    if identical(task.weights, next(iter(probes.values())).initial):
        return None
    signals = {
        site: probe.confidences(task.weights, scheme.adapt_input(task, probe.learner, {}))
        for site, probe in sorted(probes.items())
    }
    return AttackerView(signals=signals)


def _reports(probes: Mapping[str, ModelProbe], exchanges: Sequence[Exchange]) -> dict[str, AttackerView]:
    last, mean = AttackerView(), AttackerView()
    for site, probe in sorted(probes.items()):
        found = [probe.confidences(one.sent) for one in exchanges if one.site == site and one.sent]
        if found:
            last.signals[site], mean.signals[site] = found[-1], np.mean(found, axis=0).tolist()
    return {SERVER: last, SERVER_ALL: mean} if last.signals else {}


def _gradients(
    scheme: Scheme, probes: Mapping[str, ModelProbe], exchanges: Sequence[Exchange]
) -> dict[str, AttackerView]:
    assert scheme.sent_gradient is not None
    last, mean = AttackerView(), AttackerView()
    for site, probe in sorted(probes.items()):
        sent = [scheme.sent_gradient(one.given, one.sent, probe.initial) for one in exchanges if one.site == site]
        found = [probe.shares(*one) for one in sent]
        if found:
            last.signals[site], mean.signals[site] = found[-1], np.mean(found, axis=0).tolist()
    return {GRADIENT: last, GRADIENTS: mean} if last.signals else {}


def _votes(exchanges: Sequence[Exchange], site: str) -> str:
    """All labels that a site sent in the run, as 0 and 1."""
    sent = [one.sent[VOTES].numpy() for one in exchanges if one.site == site and VOTES in one.sent]
    return format_bits(np.unpackbits(np.concatenate(sent))) if sent else ""


def forwarded_models(exchanges: Sequence[Exchange]) -> dict[str, Weights]:
    """By site, the last model that it reported and that another site received unchanged in the next round.

    exchanges: in order of rounds.
    """
    found, reports = {}, {(one.round, _digest(one.sent)): one for one in exchanges if one.sent}
    for one in exchanges:
        before = reports.get((one.round - 1, _digest(one.given))) if one.given else None
        if before is not None and before.site != one.site:
            found[before.site] = one.given
    return found


def identical(left: Weights, right: Weights) -> bool:
    """Whether two models are bit-identical."""
    return _digest(left) == _digest(right)


def _digest(weights: Weights) -> str:
    return serialization.sha256(dict(weights))

"""What a site's privacy policy asks for, and its arithmetic: which part of an update leaves, how long it may be, noise.

Abadi et al.: Deep Learning with Differential Privacy, CCS 2016 (clipping and noise); Shokri, Shmatikov:
Privacy-Preserving Deep Learning, CCS 2015 (the largest updates alone); Dong, Roth, Su: Gaussian Differential Privacy,
JRSS B 2022 (what many noised updates give away together).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from brainct.core.noise import gaussian
from brainct.core.privacy_event import Event
from brainct.core.scheme import Scheme, names_in
from brainct.core.sentences import sentences
from brainct.core.weights import Weights
from brainct.errors import Refused
from brainct.job.config import Plan
from brainct.protocol.terms import crossed
from brainct.protocol.terms import evaluations as due
from brainct.schemes import about
from brainct.schemes._masking import MEMBERS
from brainct.security.accounting import epsilon
from brainct.security.limits import Limits
from brainct.security.score_rules import ScoreRule
from brainct.training.private import Training

UNSEEN = "nobody may see a single hospital's update"
HIDDEN = "nothing that follows from its training samples leaves as it is"
PRIVATELY = "training samples are read through noise alone (DP-SGD)"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Budget(_Part):
    """What all releases of a site together may give away: (epsilon, delta)-differential privacy."""

    epsilon: float = Field(gt=0)
    delta: float = Field(1e-5, gt=0, lt=1)


class Policy(_Part):
    """A site's policy on updates: the difference between the weights that it sends and those that it was given.

    withhold: module paths whose tensors never leave; what the site was given is sent in their place. percentile: p in
    [0, 100); of all other values only those leave whose size is at least that of p percent. largest: no single value
    moves further than this. clip: C > 0, the greatest L2 norm of an update. noise: z >= 0, to each value Gaussian noise
    of standard deviation z C is added. budget: a site whose releases would give away more makes none.
    secure_aggregation: only take part where nobody sees a single site's update; "fixed" also asks that all sums of a
    run are over the same sites. together: names of all sites over which each sum of each run must be; of two runs of
    one job that differ in one site, the sums differ by its update.
    training: train with DP-SGD, whatever the job asks for; None trains as the job says. labels: the largest epsilon of
    a single label that the site sends (`fedct`), so the least noise; None sends labels as the job says. scores: how
    scores leave, see ScoreRule. least_class: no count and no score of a finding with fewer scans with or without it.
    limits: what a job may ask for.
    """

    withhold: tuple[str, ...] = ()
    percentile: float = Field(0.0, ge=0, lt=100)
    largest: float | None = Field(None, gt=0)
    clip: float | None = Field(None, gt=0)
    noise: float = Field(0.0, ge=0)
    budget: Budget | None = None
    secure_aggregation: bool | Literal["fixed"] = False
    together: tuple[str, ...] = ()
    training: Training | None = None
    labels: float | None = Field(None, gt=0)
    scores: ScoreRule = ScoreRule()
    least_class: int = Field(1, ge=1)
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _consistent(self) -> "Policy":
        if self.noise and self.clip is None:
            raise ValueError("noise without clip: its size is a multiple of clip; set both")
        if self.budget and not (self.noise or self.training or self.labels or self.scores.noise):
            raise ValueError("a budget without noise would never be spent, and never kept; set noise and clip")
        if self.together and (not self.secure_aggregation or len(set(self.together)) < 3):
            raise ValueError("together is for secure_aggregation: true, and names at least three sites, this one too")
        return self

    @property
    def hides(self) -> bool:
        """Whether what follows from all training samples must leave noised, or in a sum over sites."""
        return bool(self.training or self.noise or self.secure_aggregation)

    @property
    def changes(self) -> bool:
        """Whether updates leave otherwise than the scheme made them."""
        return bool(self.withhold or self.percentile or self.largest or self.clip)


def policy_of(choices: Mapping[str, Any]) -> Policy:
    """A checked policy; one error names every wrong choice."""
    try:
        return Policy.model_validate(dict(choices))
    except ValidationError as error:
        raise Refused(f"the privacy policy: {sentences(error)}") from None


def objection(policy: Policy, scheme: Scheme) -> str | None:
    """Why a scheme, or one within it, can't be run under this policy: a clause for people; None where it can."""
    if policy.labels is not None and scheme.label_epsilon is not None and scheme.label_epsilon > policy.labels:
        asked = "as they are" if math.isinf(scheme.label_epsilon) else f"at epsilon {scheme.label_epsilon:g}"
        return f"labels leave at epsilon {policy.labels:g} each at most, but the job has them leave {asked}"
    for name in names_in(scheme.name, scheme.arguments):
        blocks = about(name).blocks
        if policy.changes and (why := blocks.get("update_noise")):
            return f"updates must be changed before they leave, which `{name}` does not allow: {why}"
        if policy.training and (why := blocks.get("private_training")):
            return f"{PRIVATELY}, which `{name}` does not allow: {why}"
        if policy.secure_aggregation and (why := blocks.get("secure_aggregation")):
            return f"{UNSEEN}, but with `{name}` somebody must: {why}"
    if policy.secure_aggregation and not scheme.hides_updates:
        return f'{UNSEEN}; take the scheme "secagg" with `{scheme.name}` as its `inner`'
    if policy.secure_aggregation == "fixed" and not scheme.fixed_members:
        return 'no two sums may be over other hospitals; set `members` of "secagg" to "fixed"'
    return None


def apart(policy: Policy, scheme: Scheme, sites: Sequence[str], extra: Mapping[str, Any]) -> str | None:
    """Why a request's sums are not over the sites that the policy names, as a clause; None where they are.

    sites, extra: of the request, and of its task.
    """
    if not policy.together or scheme.name == "local":
        return None
    wanted = sorted(policy.together)
    named = f"every sum must be over {', '.join(wanted)}"
    if not scheme.fixed_members:
        return f'{named}; take the scheme "secagg" with `members` "fixed"'
    asked = sites, extra.get(MEMBERS, wanted)
    return (
        None if all(sorted(map(str, one)) == wanted for one in asked) else f"{named}, and the server's is over others"
    )


def withheld(keys: Iterable[str], paths: Iterable[str]) -> set[str]:
    """The keys of tensors at or below these module paths."""
    return {key for key in keys if any(key == path or key.startswith(f"{path}.") for path in paths)}


def release(policy: Policy, given: Weights, trained: Weights, secret: bytes) -> dict[str, torch.Tensor]:
    """The weights that may leave in place of the trained ones: withhold, percentile, largest, clip, noise, in turn.

    given: the task's weights, of the same keys and shapes. secret: as many bytes as nobody else can guess; the noise
    follows from them, so they must differ from one update to another. Counters (integer tensors) leave as given.
    """
    kept = withheld(given, policy.withhold)
    free = [key for key in sorted(given) if given[key].is_floating_point() and key not in kept]
    if not free:
        return dict(given)
    update = np.concatenate([(trained[key].double() - given[key].double()).flatten().cpu().numpy() for key in free])
    update = clipped(large(update, policy.percentile, policy.largest), policy.clip)
    if policy.clip is not None and policy.noise:
        update = update + policy.noise * policy.clip * gaussian(secret, len(update))
    parts = torch.split(torch.from_numpy(update), [given[key].numel() for key in free])
    changed = {
        key: (given[key].double().cpu() + part.reshape(given[key].shape)).to(given[key].dtype)
        for key, part in zip(free, parts, strict=True)
    }
    return {**given, **changed}


def large(update: np.ndarray, percentile: float, largest: float | None) -> np.ndarray:
    """The values whose size reaches this percentile of all sizes, each no larger than `largest`; 0 for the others."""
    size = np.abs(update)
    kept = np.where(size >= np.percentile(size, percentile), update, 0.0)
    return kept if largest is None else np.clip(kept, -largest, largest)


def clipped(update: np.ndarray, norm: float | None) -> np.ndarray:
    """u min(1, C / |u|): an update of at most this L2 norm."""
    length = float(np.linalg.norm(update))
    return update if norm is None or length <= norm else update * (norm / length)


def update(policy: Policy) -> Event:
    """What one noised update gives away: mu = 2 / z, since two clipped updates are at most 2 C apart."""
    return Event("update", mu=2 / policy.noise)


def a_round(policy: Policy, plan: Plan) -> list[Event]:
    """What a round of a run costs a site that is asked in it."""
    return [*([update(policy)] if policy.noise else []), *_trainings(policy, plan, plan.build().fits)]


def evaluations(policy: Policy, plan: Plan, sites: Sequence[str] = ()) -> list[Event]:
    """What all evaluations of a run of these sites cost a site: its scores, and a scheme's training before them."""
    scores = [] if policy.scores.event is None else [policy.scores.event]
    delivered = [*_trainings(policy, plan, plan.build().tunes), *scores] * due(plan)
    return delivered + scores * crossed(plan, sites)


def _trainings(policy: Policy, plan: Plan, passes: Iterable[int | None]) -> list[Event]:
    terms = policy.training
    fit = plan.training
    return [terms.event(terms.steps(fit, epochs)) for epochs in passes] if terms and fit else []


def affordable(budget: Budget | None, spent: Iterable[Event], more: Iterable[Event]) -> bool:
    """Whether the budget pays for more events after those on which it was spent."""
    return budget is None or epsilon([*spent, *more], budget.delta) <= budget.epsilon


def rounds_left(budget: Budget | None, spent: Sequence[Event], a_round: Sequence[Event], wanted: int) -> int:
    """How many of the rounds wanted the budget pays for, each costing these events."""
    if affordable(budget, spent, [*a_round] * wanted):
        return wanted
    low, high = 0, wanted
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if affordable(budget, spent, [*a_round] * middle) else (low, middle)
    return low

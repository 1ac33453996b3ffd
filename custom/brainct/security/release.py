"""How a site's replies leave under its privacy policy: updates, labels, scores and counts."""

import functools
import hmac
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from brainct.core import serialization
from brainct.core.noise import gaussian
from brainct.core.privacy_event import Event
from brainct.core.weights import check_weights
from brainct.job.config import Plan
from brainct.protocol.replies import Update
from brainct.protocol.requests import EvaluateRequest, ModelRequest, TrainRequest, task_to_plain
from brainct.security import policy as policies
from brainct.security.policy import Policy
from brainct.security.score_rules import description_as, scores_as

LABELLED = "labelled"
"""In an update's `extra`, `fedma`'s counts of labelled samples by output."""
Spend = Callable[[str, Event], None]
"""Counts a release under a digest of all that it follows from, before it is made; refuses what the budget can't pay."""


def description(policy: Policy, plan: Plan, about: Mapping[str, Any], terms: str) -> dict[str, Any]:
    """A site's description, as it leaves."""
    return description_as(plan.kind, policy.least_class, about, terms, plan)


def scores(
    policy: Policy,
    plan: Plan,
    request: EvaluateRequest,
    exact: Mapping[str, Any],
    secret: Callable[[], bytes],
    spend: Spend,
) -> dict[str, Any]:
    """A model's scores, as they leave; noised scores are counted, and the same scores get the same noise."""
    keys, exclusive = plan.kind.score_keys, plan.kind.exclusive(plan)
    if policy.scores.event is None:
        return scores_as(keys, policy.scores, policy.least_class, exact, _never, exclusive)
    digest = _digest(policy, request, "scores", exact)
    spend(digest, policy.scores.event)
    key = hmac.digest(secret(), digest.encode(), "sha256")
    return scores_as(keys, policy.scores, policy.least_class, exact, functools.partial(gaussian, key), exclusive)


def _never(count: int) -> Any:
    raise AssertionError("noise for scores that leave without")


def update(
    policy: Policy, plan: Plan, request: TrainRequest, reply: Update, secret: Callable[[], bytes], spend: Spend
) -> Update:
    """A site's update, as it leaves: clipped and noised, labels counted, no loss where there is noise."""
    trained, reply = reply.weights, _without_small(policy, reply)
    if policy.noise or policy.training:
        reply = replace(reply, metrics={})  # a loss follows from the samples without noise
    _count_labels(policy, plan, request, trained, spend)
    if not trained or not policy.changes:
        return reply
    given = {key: value for key, value in request.task.weights.items() if key in trained}
    if not policy.noise:
        check_weights(trained, given, "its own update")
        return replace(reply, weights=policies.release(policy, given, trained, b""))
    digest = _digest(policy, request, "trained", dict(trained))
    spend(digest, policies.update(policy))  # before it is looked at: that it can't leave would say something as well
    key = hmac.digest(secret(), digest.encode(), "sha256")
    return replace(reply, weights=policies.release(policy, given, _sound(trained, given), key))


def _without_small(policy: Policy, reply: Update) -> Update:
    """The update with 0 in place of each count of labelled samples that is smaller than the policy lets out."""
    counts = reply.extra.get(LABELLED)
    if policy.least_class <= 1 or counts is None:
        return reply
    large = [count if count >= policy.least_class else 0 for count in counts]
    return replace(reply, extra={**reply.extra, LABELLED: large})


def without_training(
    policy: Policy, request: TrainRequest, examples: int, secret: Callable[[], bytes], spend: Spend
) -> Update:
    """What leaves where training failed and updates are noised: the noise around no update at all.

    Whether training fails follows from the samples without noise, and a server chooses what would make it fail.
    """
    digest = _digest(policy, request, "failed", "")
    spend(digest, policies.update(policy))
    key = hmac.digest(secret(), digest.encode(), "sha256")
    given = request.task.weights
    return Update(policies.release(policy, given, given, key), examples, {}, {})


def _count_labels(policy: Policy, plan: Plan, request: TrainRequest, sent: Mapping[str, Any], spend: Spend) -> None:
    """Count each bit of a vote, if the policy says at which epsilon labels may leave."""
    each = plan.build().label_epsilon
    if policy.labels is None or each is None or not sent:
        return
    bits = sum(8 * value.numel() for value in sent.values())
    spend(_digest(policy, request, "labels", dict(sent)), Event("labels", epsilon=bits * each))


def _sound(trained: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The update, or none where it is not finite or of another shape; under noise the two look alike."""
    try:
        check_weights(trained, given, "its own update")
    except ValueError:
        return given
    return trained


def _digest(policy: Policy, request: ModelRequest, name: str, value: Any) -> str:
    """Seed of the noise, unique to the value, the request and the policy.

    One draw at two scales would reveal the value by subtraction.
    """
    known = {"plan": request.plan, "sites": request.sites, "round": request.round, "task": task_to_plain(request.task)}
    terms = policy.model_dump(mode="json", exclude={"budget", "limits"})
    return serialization.sha256({**known, name: value, "policy": terms})

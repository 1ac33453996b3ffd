"""What a site's answers become at its door: updates, labels, scores and counts as its privacy policy has them leave."""

import functools
import hmac
from collections.abc import Callable, Mapping
from typing import Any

from brainct.core import serialization
from brainct.core.noise import gaussian
from brainct.core.privacy_event import Event
from brainct.core.weights import check_weights
from brainct.errors import failed
from brainct.job.config import Plan
from brainct.security import policy as policies
from brainct.security.policy import Policy
from brainct.security.score_rules import description_as, scores_as

Answer = Mapping[str, Any]
LABELLED = "labelled"
"""In an answer's `extra`, `fedma`'s counts of labelled scans by finding."""
Spend = Callable[[str, Event], None]
"""Counts a release under a digest of all that it follows from, before it is made; refuses what the budget can't pay."""


def described(policy: Policy, plan: Plan, about: Mapping[str, Any], terms: str) -> dict[str, Any]:
    """What a site says at the roll call."""
    return description_as(plan.kind, policy.least_class, about, terms)


def scored(
    policy: Policy,
    plan: Plan,
    order: Mapping[str, Any],
    scores: Mapping[str, Any],
    secret: Callable[[], bytes],
    spend: Spend,
) -> dict[str, Any]:
    """What a site says of a model's quality; noised scores are counted, and the same scores have the same noise."""
    keys = plan.kind.score_keys
    if policy.scores.event is None:
        return scores_as(keys, policy.scores, policy.least_class, scores, _never)
    digest = _digest(policy, order, "scores", scores)
    spend(digest, policy.scores.event)
    key = hmac.digest(secret(), digest.encode(), "sha256")
    return scores_as(keys, policy.scores, policy.least_class, scores, functools.partial(gaussian, key))


def _never(count: int) -> Any:
    raise AssertionError("noise for scores that leave without")


def replied(
    policy: Policy, plan: Plan, order: Mapping[str, Any], answer: Answer, secret: Callable[[], bytes], spend: Spend
) -> dict[str, Any]:
    """What a site sends in a round: the update clipped and noised, labels counted, no loss where there is noise."""
    trained, answer = answer["weights"], _without_small(policy, answer)
    metrics = {} if policy.noise or policy.training else answer["metrics"]  # a loss comes from the scans without noise
    _count_labels(policy, plan, order, trained, spend)
    if not trained or not policy.changes:
        return {**answer, "metrics": metrics}
    given = {key: value for key, value in order["task"]["weights"].items() if key in trained}
    if not policy.noise:
        check_weights(trained, given, "its own update")
        return {**answer, "weights": policies.release(policy, given, trained, b""), "metrics": metrics}
    digest = _digest(policy, order, "trained", dict(trained))
    spend(digest, policies.update(policy))  # before it is looked at: that it can't leave would tell as well
    key = hmac.digest(secret(), digest.encode(), "sha256")
    return {**answer, "weights": policies.release(policy, given, _sound(trained, given), key), "metrics": metrics}


def _without_small(policy: Policy, answer: Answer) -> dict[str, Any]:
    """The answer with 0 in place of each count of labelled scans that is smaller than the policy lets out."""
    counts = answer["extra"].get(LABELLED)
    if policy.least_class <= 1 or counts is None:
        return dict(answer)
    large = [count if count >= policy.least_class else 0 for count in counts]
    return {**answer, "extra": {**answer["extra"], LABELLED: large}}


def without_training(
    policy: Policy, order: Mapping[str, Any], examples: int, secret: Callable[[], bytes], spend: Spend
) -> dict[str, Any]:
    """What a site sends where its training failed and its updates are noised: the noise around no update at all.

    Whether training fails follows from the scans without noise, and a server chooses what would make it fail.
    """
    given, failure = order["task"]["weights"], {"weights": {}, "examples": examples, "metrics": {}, "extra": {}}
    digest = _digest(policy, order, "failed", "")
    spend(digest, policies.update(policy))
    key = hmac.digest(secret(), digest.encode(), "sha256")
    return {**failure, "weights": policies.release(policy, given, given, key), "exchange": order.get("exchange", "")}


def has_failed(site: str, answer: Answer) -> bool:
    """Whether a site's desk looked at scans and could not answer; its other refusals follow from the order alone."""
    return bool(answer.get("error") == failed(site))


def _count_labels(policy: Policy, plan: Plan, order: Mapping[str, Any], sent: Mapping[str, Any], spend: Spend) -> None:
    """Count each bit of a vote, if the policy says at which epsilon labels may leave."""
    each = plan.build().label_epsilon
    if policy.labels is None or each is None or not sent:
        return
    bits = sum(8 * value.numel() for value in sent.values())
    spend(_digest(policy, order, "labels", dict(sent)), Event("labels", epsilon=bits * each))


def _sound(trained: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The update, or none where it is not finite or of another shape; under noise nobody can tell which it was."""
    try:
        check_weights(trained, given, "its own update")
    except ValueError:
        return given
    return trained


def _digest(policy: Policy, order: Mapping[str, Any], what: str, value: Any) -> str:
    """One release to one order under one policy: another value, order or size of noise, and the noise is another.

    The same noise at two sizes would tell what it hides.
    """
    known = {key: order[key] for key in ("plan", "sites", "round", "task")}
    terms = policy.model_dump(mode="json", exclude={"budget", "limits"})
    return serialization.sha256({**known, what: value, "policy": terms})

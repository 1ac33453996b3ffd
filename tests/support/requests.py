"""Requests of a server to a site, as they cross a wire, and their kinds: tests know their form from here alone."""

from collections.abc import Mapping

from brainct.protocol.requests import request_to_plain
from tests.conftest import first_weights

MODEL = {"round": 0, "shared": {}, "task": None}
OWN = {"describe": {"new": True}, "train": {**MODEL, "step": 0}, "evaluate": {**MODEL, "fold": "test", "of": ""}}
"""What a request of one kind has and another may lack."""


def request(plan, kind="train", **changes):
    """A sound request to site-1 in run `a-run`, as plain data; changes: other values, where its kind has them."""
    known = {"run": "a-run", "exchange": f"round {changes.get('round', 0)}", "sites": ["site-1"]}
    found = {"kind": kind, **known, "plan": plan.model_dump(), **OWN.get(kind, OWN["train"])}
    found |= {key: value for key, value in changes.items() if key in found}
    if "task" in found and "task" not in changes:
        found["task"] = task_of(first_weights(plan))
    return found


def task_of(weights, extra=None):
    """The task of a request."""
    return {"weights": dict(weights), "extra": extra or {}}


def plain(request):
    """A request as it crosses a wire."""
    return request if isinstance(request, Mapping) else request_to_plain(request)


def reply_to(agent, request):
    """An agent's reply, as it crosses a wire."""
    return agent.reply_plain(plain(request))


def describes(request):
    """Whether it is the roll call."""
    return plain(request).get("kind") == "describe"


def trains(request, round=None, step=None):
    """Whether it asks for a report: of this round and of this exchange in it, if they are given."""
    found = plain(request)
    return found.get("kind") == "train" and round in (None, found["round"]) and step in (None, found["step"])

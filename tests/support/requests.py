"""Requests of a server to a site, and what kind one is, for all tests: their form on the wire is known here alone."""

from tests.conftest import first_weights


def request(plan, kind="reply", **changes):
    """A sound request of round 0 of run `a-run`; kind: describe, reply or evaluate; changes: other parts, or more."""
    task = {"weights": first_weights(plan), "extra": {}} if "task" not in changes else {}
    known = {"run": "a-run", "round": 0, "exchange": f"round {changes.get('round', 0)}", "sites": ["site-1"]}
    return {"what": kind, **known, "plan": plan.model_dump(), "task": task, **changes}


def task_of(weights, extra=None):
    """The task of a request."""
    return {"weights": dict(weights), "extra": extra or {}}


def describes(request):
    """Whether it is the roll call."""
    return request.get("what") == "describe"


def trains(request, round=None, step=None):
    """Whether it asks for a report: of this round and of this exchange in it, if they are given."""
    if request.get("what") != "reply":
        return False
    return round in (None, request["round"]) and step in (None, request.get("step", 0))

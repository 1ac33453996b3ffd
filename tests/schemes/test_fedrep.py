"""What is true of FedRep alone."""

import pytest

from brainct.core.scheme import Task
from brainct.core.weights import sha256
from brainct.ct.model import model_of
from brainct.errors import Refused
from brainct.schemes.fedper import fedper
from brainct.schemes.fedrep import fedrep
from tests.conftest import tiny_learner, tiny_plan
from tests.support.by_hand import play

HEAD = {"head.weight", "head.bias"}


def test_the_head_is_fitted_first_under_the_frozen_body_then_the_body_under_that_head():
    plan, calls = tiny_plan(), []
    first = model_of(plan.network, plan.seed, plan.rounds).weights
    learner = tiny_learner(plan)
    fit = learner.fit

    def watched(weights, **asked):
        fitted = fit(weights, **asked)
        moved = {key for key in weights if not fitted.weights[key].equal(weights[key])}
        calls.append((sha256(weights), asked["epochs"], fitted.steps, moved, fitted.weights))
        return fitted

    learner.fit = watched
    body = {key: value for key, value in first.items() if key not in HEAD}
    report, client_state = fedrep(head_epochs=4, body_epochs=2).reply(Task(body), learner, {})
    (came, *head_phase, headed), (middle, *body_phase, end) = calls
    assert came == sha256(first)
    assert middle == sha256(headed)
    assert head_phase == [4, 4, HEAD]
    assert body_phase == [2, 2, set(body)]
    assert sha256({**report.weights, **client_state["own"]}) == sha256(end)


def test_the_head_goes_on_from_where_it_was():
    seen = play(fedrep(head_epochs=1), tiny_plan(), 2)
    body, own = seen[1].tasks["site-2"].weights, seen[0].keeps["site-2"]["own"]
    learner = tiny_learner(tiny_plan(), "site-2", 1, scans=9)
    headed = learner.fit({**body, **own}, epochs=1, frozen=set(body)).weights
    assert sha256(seen[1].keeps["site-2"]["own"]) == sha256({key: headed[key] for key in HEAD})


def test_sites_have_equal_shares_as_in_the_paper_and_it_is_not_fedper():
    plan = tiny_plan()
    last = {name: play(scheme, plan)[-1].memory["shared"] for name, scheme in (("rep", fedrep()), ("per", fedper()))}
    assert fedrep().arguments["weight_by"] == "equal"
    assert sha256(last["rep"]) != sha256(last["per"])


@pytest.mark.parametrize("name", ["head_epochs", "body_epochs"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, None])
def test_epochs_out_of_range_are_refused(name, value):
    with pytest.raises(Refused, match=f"fedrep: {name} is {value}; wanted a whole number of at least 1"):
        fedrep(**{name: value})

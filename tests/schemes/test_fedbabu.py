"""What is true of FedBABU alone."""

import pytest

from brainct.core.scheme import Task
from brainct.core.weights import sha256
from brainct.ct.model import model_of
from brainct.errors import Refused
from brainct.schemes.fedbabu import fedbabu
from tests.conftest import first_weights, tiny_learner, tiny_plan
from tests.support.by_hand import SITES, play

HEAD = {"head.weight", "head.bias"}


def test_the_head_stays_as_it_began_while_the_body_learns():
    plan = tiny_plan()
    first = first_weights(plan)
    last = play(fedbabu(), plan, 4)[-1]
    for site in SITES:
        assert sha256(last.keeps[site]["own"]) == sha256({key: first[key] for key in HEAD})
        assert not any(value.equal(first[key]) for key, value in last.reports[site].weights.items())


def test_the_body_learns_under_the_frozen_head_and_not_with_a_moving_one():
    plan = tiny_plan()
    fitted = tiny_learner(plan, "site-1", scans=4).fit(first_weights(plan), frozen=HEAD).weights
    body = play(fedbabu(), plan, 1)[0].reports["site-1"].weights
    assert sha256(body) == sha256({key: fitted[key] for key in body})


def test_a_site_tunes_the_head_alone_when_it_uses_the_model_and_keeps_nothing_of_it():
    plan, scheme = tiny_plan(), fedbabu(tune_epochs=3)
    last = play(scheme, plan)[-1]
    model, client_state = scheme.model(last.memory), last.keeps["site-2"]
    before = sha256(client_state["own"])
    used = scheme.personalise(Task(model), tiny_learner(plan, "site-2", 3), client_state)
    assert {key for key in used if not used[key].equal(model[key])} == HEAD
    by_hand = tiny_learner(plan, "site-2", 3).fit(model, epochs=3, frozen=model.keys() - HEAD).weights
    assert sha256(used) == sha256(by_hand)
    assert sha256(client_state["own"]) == before


def test_a_hospital_outside_does_what_every_site_does():
    plan, scheme = tiny_plan(), fedbabu(tune_epochs=3)
    last = play(scheme, plan)[-1]
    model = scheme.model(last.memory)
    used = [
        scheme.personalise(Task(model), tiny_learner(plan, "site-2", 3), client_state)
        for client_state in ({}, last.keeps["site-2"])
    ]
    assert sha256(used[0]) == sha256(used[1])
    learner = tiny_learner(plan, "outside")
    tuned = scheme.personalise(Task(model), learner, {})
    assert learner.gradient(tuned).loss < learner.gradient(model).loss


def test_another_head_is_fixed_when_it_is_named():
    plan, scheme = tiny_plan(), fedbabu(["norm2", "head"])
    row = play(scheme, plan, 1)[0]
    model = scheme.model(row.memory)
    used = scheme.personalise(Task(model), tiny_learner(plan), row.keeps["site-1"])
    moved = {key for key in used if not used[key].equal(model[key])}
    assert moved == HEAD | {"norm2.weight", "norm2.bias"} == set(row.keeps["site-1"]["own"])
    assert row.reports["site-1"].weights.keys() == model_of(plan.network, plan.seed, plan.rounds).weights.keys() - moved


def test_epochs_out_of_range_are_refused():
    with pytest.raises(Refused, match="fedbabu: tune_epochs is 0; wanted a whole number of at least 1"):
        fedbabu(tune_epochs=0)

"""What is true of local training alone."""

import torch

from brainct.core import serialization
from brainct.core.scheme import Task
from brainct.core.weights import sha256
from brainct.ct.model import model_of
from brainct.schemes.local import local
from tests.conftest import first_weights, tiny_learner, tiny_plan

SITES = ["site-1", "site-2"]


def test_no_tensor_travels():
    plan, scheme = tiny_plan("local"), local()
    memory = scheme.start(model_of(plan.network, plan.seed, plan.rounds), SITES, 0)
    for task in scheme.assign(memory, 0, SITES).values():
        report, _ = scheme.reply(task, tiny_learner(plan), {})
        assert serialization.split([task.weights, task.extra, report.weights, report.extra])[0] == {}


def test_a_site_trains_on_from_its_own_model_from_the_seeded_weights_on():
    plan, scheme, client_state = tiny_plan("local"), local(), {}
    alone = first_weights(plan)
    for number in range(3):
        _, client_state = scheme.reply(Task({}), tiny_learner(plan, "site-1", number), client_state)
        alone = tiny_learner(plan, "site-1", number).fit(alone).weights
    used = scheme.personalise(Task(first_weights(plan)), tiny_learner(plan), client_state)
    assert sha256(used) == sha256(alone) != sha256(first_weights(plan))


def test_a_site_that_never_trained_uses_the_weights_before_round_0():
    plan, start = tiny_plan("local"), {"w": torch.ones(1)}
    assert sha256(local().personalise(Task(start), tiny_learner(plan), {})) == sha256(start)
    assert sha256(local().personalise(Task({}), tiny_learner(plan), {})) == sha256(first_weights(plan))


def test_a_hospital_outside_is_given_the_weights_before_round_0():
    plan, scheme = tiny_plan("local"), local()
    memory = scheme.start(model_of(plan.network, plan.seed, plan.rounds), SITES, 0)
    report, _ = scheme.reply(Task({}), tiny_learner(plan), {})
    assert sha256(scheme.model(scheme.combine(memory, 0, {"site-1": report}))) == sha256(first_weights(plan))

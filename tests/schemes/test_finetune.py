"""What is true of FedAvg with local fine-tuning alone."""

import pytest

from brainct.core.scheme import Task
from brainct.core.weights import sha256
from brainct.errors import Refused
from brainct.schemes.fedavg import fedavg
from brainct.schemes.finetune import finetune
from tests.conftest import tiny_learner, tiny_plan
from tests.support.by_hand import SITES, play


@pytest.mark.parametrize("arguments", [{}, {"fraction": 0.5}, {"weight_by": "equal"}])
def test_the_rounds_are_those_of_fedavg_to_the_bit_and_sites_keep_nothing(arguments):
    plan = tiny_plan()
    ours, theirs = play(finetune(**arguments), plan)[-1], play(fedavg(**arguments), plan)[-1]
    assert sha256(ours.memory["weights"]) == sha256(theirs.memory["weights"])
    assert ours.keeps == dict.fromkeys(SITES, {})


def test_a_site_uses_the_model_after_the_passes_asked_for_over_its_own_scans():
    plan, scheme = tiny_plan(), finetune(epochs=4)
    model = scheme.model(play(scheme, plan)[-1].memory)
    used = scheme.personalise(Task(model), tiny_learner(plan, "site-2", 3), {})
    assert sha256(used) == sha256(tiny_learner(plan, "site-2", 3).fit(model, epochs=4).weights)
    learner = tiny_learner(plan, "site-2")
    assert learner.gradient(used).loss < learner.gradient(model).loss


def test_the_outside_gets_the_model_that_nobody_tuned():
    plan = tiny_plan()
    memory = play(finetune(), plan)[-1].memory
    assert sha256(finetune().model(memory)) == sha256(memory["weights"])


def test_a_site_tunes_at_the_full_rate_after_the_last_round_of_a_falling_one():
    plan = tiny_plan(rounds=3, fit={"decay": "cosine"})
    learner = tiny_learner(plan, round=3)
    weights = learner.initial().weights
    assert sha256(learner.fit(weights).weights) == sha256(weights)
    assert learner.gradient(finetune().personalise(Task(weights), learner, {})).loss < learner.gradient(weights).loss


@pytest.mark.parametrize("epochs", [0, -2, 0.5, True])
def test_epochs_out_of_range_are_refused(epochs):
    with pytest.raises(Refused, match=f"finetune: epochs is {epochs}; wanted a whole number of at least 1"):
        finetune(epochs)

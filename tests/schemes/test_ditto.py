"""What is true of Ditto alone."""

import math
from itertools import pairwise

import pytest

from brainct.core.scheme import Task
from brainct.core.weights import add, scale, sha256, squared_distance
from brainct.errors import Refused
from brainct.schemes.ditto import ditto
from brainct.schemes.fedavg import fedavg
from tests.conftest import first_weights, tiny_learner, tiny_plan
from tests.support.by_hand import COUNTS, SITES, play


@pytest.mark.parametrize("lam", [0.0, 0.1, 3.0])
def test_the_shared_model_is_fedavgs_to_the_bit_whatever_the_personal_ones_do(lam):
    plan = tiny_plan()
    ours, theirs = play(ditto(lam), plan)[-1], play(fedavg(), plan)[-1]
    assert sha256(ours.memory["weights"]) == sha256(theirs.memory["weights"])


@pytest.mark.parametrize("lam", [0.0, 0.7, 2.0])
def test_a_full_batch_step_is_v_minus_eta_times_gradient_plus_lambda_v_minus_w(lam):
    """Algorithm 1, line 8, from a v that is not w: the gradient of f_k comes from the learner without a penalty."""
    rate, plan = 0.3, tiny_plan(fit={"rate": 0.3, "batch_size": 100})
    learner = tiny_learner(plan)
    w = first_weights(plan)
    v = learner.fit(w, epochs=5).weights
    step = add(learner.gradient(v).weights, scale(add(v, scale(w, -1)), lam))
    _, client_state = ditto(lam).reply(Task(w), learner, {"own": v})
    wanted = add(v, scale(step, -rate))
    assert max(float((client_state["own"][key] - wanted[key]).abs().max()) for key in wanted) < 1e-6


def test_lambda_zero_is_local_training_to_the_bit():
    plan = tiny_plan()
    last = play(ditto(0.0), plan)[-1]
    for site in SITES:
        alone = first_weights(plan)
        for number in range(3):
            alone = tiny_learner(plan, site, number, scans=COUNTS[site]).fit(alone).weights
        assert sha256(last.keeps[site]["own"]) == sha256(alone)


def test_the_larger_lambda_the_nearer_the_personal_model_is_to_the_one_delivered():
    plan = tiny_plan(fit={"rate": 0.02})
    far = []
    for lam in (0.0, 2.0, 10.0, 45.0):
        last = play(ditto(lam, personal_epochs=10), plan)[-1]
        far.append([float(squared_distance(last.keeps[site]["own"], last.tasks[site].weights)) for site in SITES])
    assert all(nearer < farther for rows in pairwise(far) for farther, nearer in zip(*rows, strict=True))
    assert all(last < first / 100 for first, last in zip(far[0], far[-1], strict=True))


def test_a_site_uses_its_own_model_once_it_has_one_and_the_outside_gets_the_shared_one():
    plan, scheme = tiny_plan(), ditto()
    last = play(scheme, plan)[-1]
    model = scheme.model(last.memory)
    for site in SITES:
        used = scheme.personalise(Task(model), tiny_learner(plan, site), last.keeps[site])
        assert sha256(used) == sha256(last.keeps[site]["own"]) != sha256(model)
    assert sha256(scheme.personalise(Task(model), tiny_learner(plan), {})) == sha256(model)


def test_no_personal_model_travels():
    """From round 1 on: where v starts, at w, nothing pulls, and a site's first step is the same for both."""
    seen = play(ditto(), tiny_plan())[1:]
    kept = {sha256(row.keeps[site]["own"]) for row in seen for site in SITES}
    sent = {sha256(one.weights) for row in seen for side in (row.tasks, row.reports) for one in side.values()}
    assert not kept & sent
    assert all(not one.extra for row in seen for side in (row.tasks, row.reports) for one in side.values())


def test_a_lost_site_goes_on_from_its_own_model():
    seen = play(ditto(), tiny_plan(), lost={("site-2", 1)})
    assert seen[1].keeps["site-2"] is seen[0].keeps["site-2"]
    v, learner = seen[0].keeps["site-2"]["own"], tiny_learner(tiny_plan(), "site-2", 2, scans=9)
    _, client_state = ditto().reply(seen[2].tasks["site-2"], learner, {"own": v})
    assert sha256(client_state["own"]) == sha256(seen[2].keeps["site-2"]["own"])


def test_the_personal_model_may_train_longer_than_the_shared_one():
    plan = tiny_plan()
    learner, steps = tiny_learner(plan), []
    fit = learner.fit
    learner.fit = lambda weights, **asked: steps.append(fit(weights, **asked)) or steps[-1]
    ditto(personal_epochs=3).reply(Task(first_weights(plan)), learner, {})
    assert [fitted.steps for fitted in steps] == [1, 3]


@pytest.mark.parametrize("lam", [-0.1, math.nan, math.inf, True, "1"])
def test_a_lambda_out_of_range_is_refused(lam):
    with pytest.raises(Refused, match="ditto: lam is .*; wanted a finite number at least 0"):
        ditto(lam)


def test_epochs_out_of_range_are_refused():
    with pytest.raises(Refused, match="ditto: personal_epochs is 0; wanted a whole number of at least 1"):
        ditto(personal_epochs=0)

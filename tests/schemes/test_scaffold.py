"""What is true of stochastic controlled averaging alone."""

import pytest
import torch

from brainct.core.weights import filled
from brainct.errors import Refused
from brainct.schemes import build
from brainct.schemes._acknowledged import acknowledged
from brainct.schemes.fedavg import fedavg
from brainct.schemes.scaffold import scaffold
from tests.conftest import tiny_learner, tiny_model, tiny_plan
from tests.support.quadratic import START, Quadratic, optimum, rests_at, run, sites_that_differ

near = {"rtol": 0, "atol": 1e-9}


def controls(scheme, memory, keeps):
    """Each site's control variate as its next task would find it."""
    tasks = scheme.assign(memory, 99, sorted(keeps))
    return [acknowledged(tasks[site], keeps[site], filled(START, 0.0))["w"] for site in sorted(keeps)]


def test_it_comes_to_rest_at_the_common_optimum_where_fedavg_does_not():
    sites = sites_that_differ()
    torch.testing.assert_close(rests_at(scaffold(), sites), optimum(sites), rtol=0, atol=1e-6)
    assert (rests_at(fedavg(weight_by="equal"), sites) - optimum(sites)).abs().max() > 0.05


@pytest.mark.parametrize("lost", [set(), {("site-2", 1)}, {("site-1", 0), ("site-1", 1), ("site-3", 3)}])
def test_the_servers_control_is_the_mean_of_the_sites_also_where_reports_were_lost(lost):
    for rounds in range(1, 6):
        memory, keeps = run(scaffold(), sites_that_differ(), rounds, lost)
        mean = torch.stack(controls(scaffold(), memory, keeps)).mean(0)
        torch.testing.assert_close(memory["control"]["w"], mean, **near)
        assert mean.abs().max() > 0.1


@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_after_one_step_a_control_is_the_gradient_at_the_model_sent(rounds):
    """Also in later rounds: what c - c_k adds to the step, - c + c_k takes out of the control."""
    sites = sites_that_differ(steps=1)
    sent = run(scaffold(), sites, rounds - 1)[0]["weights"]
    memory, keeps = run(scaffold(), sites, rounds)
    gradients = [sites[site].gradient(sent).weights["w"] for site in sorted(sites)]
    for control, gradient in zip(controls(scaffold(), memory, keeps), gradients, strict=True):
        torch.testing.assert_close(control, gradient, **near)


def test_after_k_steps_a_control_is_the_mean_gradient_along_the_way():
    site = Quadratic([1.0, 4.0], [0.0, 5.0], steps=3)
    memory, keeps = run(scaffold(), {"a": site}, 1)
    way, gradients = START, []
    for _ in range(3):
        gradients.append(site.gradient(way).weights["w"])
        way = {"w": way["w"] - site.rate * gradients[-1]}
    torch.testing.assert_close(controls(scaffold(), memory, keeps)[0], torch.stack(gradients).mean(0), **near)


def test_a_site_steps_along_g_minus_its_control_plus_the_servers():
    sites = sites_that_differ()
    memory, keeps = run(scaffold(), sites, 2)
    own = dict(zip(sorted(sites), controls(scaffold(), memory, keeps), strict=True))
    for site, task in scaffold().assign(memory, 2, sorted(sites)).items():
        scaffold().reply(task, sites[site], keeps[site])
        torch.testing.assert_close(sites[site].asked["correction"]["w"], memory["control"]["w"] - own[site], **near)


def test_among_equal_sites_the_controls_cancel_and_it_is_fedavg():
    sites = {name: Quadratic([1.0, 4.0], [0.0, 5.0]) for name in ("a", "b", "c")}
    for rounds in (1, 2, 5):
        wanted = fedavg().model(run(fedavg(), sites, rounds)[0])["w"]
        torch.testing.assert_close(scaffold().model(run(scaffold(), sites, rounds)[0])["w"], wanted, **near)


def test_the_servers_rate_stretches_the_mean_step():
    sites = sites_that_differ()
    step = scaffold().model(run(scaffold(), sites, 1)[0])["w"] - START["w"]
    longer = scaffold(1.5).model(run(scaffold(1.5), sites, 1)[0])["w"] - START["w"]
    torch.testing.assert_close(longer, 1.5 * step, **near)


def test_a_rate_out_of_range_is_refused():
    with pytest.raises(Refused, match="scaffold: server_rate is 0; wanted a finite number above 0"):
        scaffold(0)
    with pytest.raises(Refused, match="learning rate is 0.0; wanted one above 0"):
        run(scaffold(), sites_that_differ(rate=0.0), 1)


@pytest.mark.parametrize("name", ["scaffold", "feddyn"])
def test_a_site_that_lost_what_it_kept_says_so_and_does_not_begin_at_0_again(name):
    scheme, plan = build(name, {}), tiny_plan(name, fit={"optimizer": "sgd", "rate": 0.05})
    memory = scheme.start(tiny_model(plan), ["site-1"], 0)
    task = scheme.assign(memory, 0, ["site-1"])["site-1"]
    report, _ = scheme.reply(task, tiny_learner(plan), {})
    task = scheme.assign(scheme.combine(memory, 0, {"site-1": report}), 1, ["site-1"])["site-1"]
    with pytest.raises(Refused, match="this site has lost its client state of the run"):
        scheme.reply(task, tiny_learner(plan, round=1), {})

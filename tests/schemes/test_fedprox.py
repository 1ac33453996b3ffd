"""What is true of the proximal term alone."""

import pytest
import torch

from brainct.core.scheme import Task
from brainct.core.weights import sha256, squared_distance
from brainct.ct.model import model_of
from brainct.errors import Refused
from brainct.schemes.fedavg import fedavg
from brainct.schemes.fedprox import fedprox
from tests.conftest import first_weights, tiny_learner, tiny_plan
from tests.support.quadratic import START, Quadratic


def test_the_penalty_is_half_mu_times_the_squared_distance_from_the_model_sent():
    """Its gradient is mu (w - w_t), by central differences, which are exact for a parabola up to rounding."""
    site, mu, width = Quadratic([1.0, 1.0], [0.0, 0.0]), 0.3, 1e-3
    fedprox(mu).reply(Task(START), site, {})
    penalty, here = site.asked["penalty"], torch.tensor([0.5, 2.0], dtype=torch.float64)
    assert penalty(START).item() == 0
    for index in range(2):
        ahead = torch.zeros(2, dtype=torch.float64)
        ahead[index] = width
        slope = (penalty({"w": here + ahead}) - penalty({"w": here - ahead})) / (2 * width)
        assert slope.item() == pytest.approx(mu * (here - START["w"])[index].item(), rel=1e-9)


def test_with_mu_0_it_is_fedavg_to_the_bit():
    plan, sites, hashes = tiny_plan(), ["site-1", "site-2"], []
    for scheme in (fedprox(0.0), fedavg()):
        memory = scheme.start(model_of(plan.network, plan.seed, plan.rounds), sites, 0)
        for number in range(2):
            tasks = scheme.assign(memory, number, sites)
            reports = {site: scheme.reply(tasks[site], tiny_learner(plan, site, number), {})[0] for site in sites}
            memory = scheme.combine(memory, number, reports)
        hashes.append(sha256(scheme.model(memory)))
    assert hashes[0] == hashes[1]


def test_a_larger_mu_holds_a_real_network_nearer_to_the_model_sent():
    plan = tiny_plan(fit={"rate": 0.1, "epochs": 5})
    sent = first_weights(plan)
    gone = [
        float(squared_distance(fedprox(mu).reply(Task(sent), tiny_learner(plan), {})[0].weights, sent))
        for mu in (0.0, 1.0, 5.0)
    ]
    assert gone[0] > gone[1] > gone[2] > 0


@pytest.mark.parametrize("mu", [-0.1, float("nan"), True])
def test_a_mu_out_of_range_is_refused(mu):
    with pytest.raises(Refused, match="fedprox: mu is .*; wanted a finite number at least 0"):
        fedprox(mu)

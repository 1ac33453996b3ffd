"""What is true of cyclic weight transfer alone."""

import torch

from brainct.core.learner import Model
from brainct.core.scheme import Report
from brainct.core.weights import sha256
from brainct.ct.model import model_of
from brainct.schemes.cyclic import cyclic
from tests.conftest import first_weights, tiny_learner, tiny_plan

SITES = ["site-1", "site-2", "site-3"]


def test_one_model_is_trained_by_one_site_after_the_other():
    plan, scheme = tiny_plan("cyclic"), cyclic()
    memory, chain = scheme.start(model_of(plan.network, plan.seed, plan.rounds), SITES, 0), first_weights(plan)
    for number in range(5):
        site = SITES[number % 3]
        tasks = scheme.assign(memory, number, SITES)
        report, _ = scheme.reply(tasks[site], tiny_learner(plan, site, number), {})
        memory = scheme.combine(memory, number, {site: report})
        chain = tiny_learner(plan, site, number).fit(chain).weights
        assert sha256(scheme.model(memory)) == sha256(chain)


def test_the_order_is_that_of_the_names_round_after_round():
    memory = cyclic().start(Model({"w": torch.ones(1)}), SITES, 0)
    asked = [list(cyclic().assign(memory, number, SITES[::-1])) for number in range(7)]
    assert asked == [[site] for site in [*SITES, *SITES, SITES[0]]]


def test_a_lost_site_leaves_the_model_as_it_was():
    memory = cyclic().start(Model({"w": torch.ones(1)}), SITES, 0)
    memory = cyclic().combine(memory, 0, {"site-1": Report({"w": torch.tensor([5.0])}, 1)})
    assert cyclic().model(cyclic().combine(memory, 1, {}))["w"].item() == 5.0

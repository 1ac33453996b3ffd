"""What is true of FedPer alone."""

import pytest

from brainct.core.weights import mean, sha256
from brainct.ct.model import model_of
from brainct.schemes.fedavg import fedavg
from brainct.schemes.fedper import fedper
from tests.conftest import tiny_learner, tiny_plan
from tests.support.by_hand import COUNTS, SITES, play

HEAD = {"head.weight", "head.bias"}


@pytest.mark.parametrize("weight_by", ["examples", "equal"])
def test_each_site_trains_the_mean_body_together_with_its_own_head(weight_by):
    """Two rounds written out: body and head of each site by hand, with real training of the whole network."""
    plan = tiny_plan()
    body = dict(model_of(plan.network, plan.seed, plan.rounds).weights)
    heads = {site: {key: body.pop(key) for key in sorted(HEAD)} for site in SITES[:1]}
    heads = dict.fromkeys(SITES, heads["site-1"])
    for number in range(2):
        fits = {s: tiny_learner(plan, s, number, scans=COUNTS[s]).fit({**body, **heads[s]}).weights for s in SITES}
        heads = {site: {key: fits[site][key] for key in HEAD} for site in SITES}
        shares = COUNTS if weight_by == "examples" else dict.fromkeys(SITES, 1)
        body = mean([(shares[s], {key: fits[s][key] for key in body}) for s in SITES])
    last = play(fedper(weight_by=weight_by), plan, 2)[-1]
    assert sha256(last.memory["shared"]) == sha256(body)
    assert {site: sha256(client_state["own"]) for site, client_state in last.keeps.items()} == {
        s: sha256(heads[s]) for s in SITES
    }


def test_heads_grow_apart_over_one_body():
    last = play(fedper(), tiny_plan(), 2)[-1]
    assert len({sha256(last.keeps[site]["own"]) for site in SITES}) == 3
    assert len({sha256(play(fedper(), tiny_plan(), 3)[-1].tasks[site].weights) for site in SITES}) == 1


def test_in_the_first_round_the_body_is_that_of_fedavg():
    plan = tiny_plan()
    body = play(fedper(), plan, 1)[0].memory["shared"]
    whole = play(fedavg(), plan, 1)[0].memory["weights"]
    assert sha256(body) == sha256({key: whole[key] for key in body})


def test_a_hospital_outside_gets_the_initial_head():
    plan = tiny_plan()
    given = fedper().model(play(fedper(), plan)[-1].memory)
    first = model_of(plan.network, plan.seed, plan.rounds).weights
    assert {key for key in given if given[key].equal(first[key])} == HEAD

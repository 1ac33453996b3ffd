"""What is true of LG-FedAvg alone."""

from brainct.core.weights import sha256
from brainct.ct.model import model_of
from brainct.schemes.fedper import fedper
from brainct.schemes.lgfedavg import lgfedavg
from tests.conftest import tiny_plan
from tests.support.by_hand import SITES, play


def test_the_top_travels_and_the_bottom_stays():
    last = play(lgfedavg(), tiny_plan())[-1]
    assert set(last.memory["shared"]) == {"head.weight", "head.bias"}
    assert len({sha256(last.keeps[site]["own"]) for site in SITES}) == 3
    assert all("conv1.weight" in last.keeps[site]["own"] for site in SITES)


def test_it_shares_what_fedper_keeps_and_keeps_what_fedper_shares():
    plan, head = tiny_plan(), ["norm2", "head"]
    ours, theirs = play(lgfedavg(head), plan, 1)[0], play(fedper(head), plan, 1)[0]
    assert ours.memory["shared"].keys() == theirs.memory["own"].keys()
    assert ours.memory["own"].keys() == theirs.memory["shared"].keys()


def test_both_parts_are_trained_at_once():
    plan = tiny_plan()
    seen, first = play(lgfedavg(), plan, 1)[0], model_of(plan.network, plan.seed, plan.rounds).weights
    trained = {**seen.reports["site-1"].weights, **seen.keeps["site-1"]["own"]}
    assert not any(trained[key].equal(first[key]) for key in first)

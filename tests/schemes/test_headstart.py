"""What is true of the head start alone: round 0 is ridge, and what follows is the inner scheme from its model."""

from dataclasses import replace

import pytest
import torch

from brainct.core import serialization
from brainct.core.weights import sha256
from brainct.errors import Declined, Refused
from brainct.schemes import build
from brainct.schemes.fedavg import fedavg
from brainct.schemes.headstart import headstart
from brainct.schemes.ridge import ridge
from brainct.schemes.secagg import secagg
from tests.conftest import tiny_learner, tiny_model, tiny_plan
from tests.support import summing
from tests.support.by_hand import SITES, play

INNER = ["fedavg", "feddc", "feddyn", "fedper", "sitenorm", "dynamic", "scaffold"]


def learner_one_round_late(plan, site, round, **scans):
    """The inner scheme's round 0 is the run's round 1, which seeds what is random in it."""
    return tiny_learner(plan, site, round + 1, **scans)


def solved(lost=()):
    """The model that `ridge` gives the sites of `play`, minus those that are lost."""
    scheme = ridge(lam=1.0)
    return scheme.model(play(scheme, tiny_plan(), 1, model=tiny_model(tiny_plan()), lost=lost)[-1].memory)


def test_the_first_round_gives_the_model_of_ridge():
    scheme = headstart()
    row = play(scheme, tiny_plan(), 1)[0]
    assert sha256(scheme.model(row.memory)) == sha256(solved())
    assert all(sha256(task.weights) == sha256(solved()) for task in scheme.assign(row.memory, 1, SITES).values())


@pytest.mark.parametrize("name", INNER)
def test_what_follows_is_the_inner_scheme_from_that_model(name):
    plan, inner = tiny_plan(), build(name, {})
    model = replace(tiny_model(plan), weights=solved(), rounds=3, given=True)
    alone = play(inner, plan, 3, model=model, learner=learner_one_round_late)
    whole = play(headstart(inner), plan, 4, model=replace(tiny_model(plan), rounds=4))
    assert sha256(headstart(inner).model(whole[-1].memory)) == sha256(inner.model(alone[-1].memory))
    for site in SITES:
        assert serialization.sha256(whole[-1].keeps[site]["inner"]) == serialization.sha256(alone[-1].keeps[site])


def test_a_site_lost_in_the_first_round_has_no_share_in_the_head_and_trains_later():
    rows = play(headstart(), tiny_plan(), 2, lost={("site-2", 0)})
    assert sha256(headstart().model(rows[0].memory)) == sha256(solved(lost={("site-2", 0)}))
    assert set(rows[1].reports) == set(SITES)


def test_a_first_round_that_no_site_answered_is_repeated():
    """The round loop does not combine a round without reports."""
    scheme, plan = headstart(), tiny_plan()
    memory = scheme.start(replace(tiny_model(plan), rounds=5), SITES, 7)
    tasks = scheme.assign(memory, 1, SITES)
    reports = {site: scheme.reply(task, tiny_learner(plan, site), {})[0] for site, task in tasks.items()}
    after = scheme.combine(memory, 1, reports)
    assert after["begun"] == 2
    later = scheme.assign(after, 2, SITES)
    assert later.keys() == fedavg().assign(fedavg().start(tiny_model(plan), SITES, 7), 0, SITES).keys()
    assert scheme.reply(later["site-1"], tiny_learner(plan, "site-1", 2), {})[0].weights.keys() == solved().keys()


def test_a_server_gets_the_matrices_of_one_model_only():
    scheme, plan = headstart(), tiny_plan()
    task = scheme.assign(scheme.start(tiny_model(plan), SITES, 7), 0, SITES)["site-1"]
    _, state = scheme.reply(task, tiny_learner(plan), {})
    other = replace(task, weights={key: value + 1 for key, value in task.weights.items()})
    with pytest.raises(Declined, match="of another model"):
        scheme.reply(other, tiny_learner(plan), state)


def test_under_secure_aggregation_the_server_gets_the_same_head_from_a_sum():
    plan = tiny_plan()
    open_sites = summing.played(headstart(), plan, 3, shift=1)
    masked = summing.played(secagg(headstart()), plan, 4)
    for key, value in open_sites.model().items():
        torch.testing.assert_close(masked.model()[key], value, rtol=0, atol=2e-5)


@pytest.mark.parametrize("inner", [headstart(), ridge(), build("swa", {"inner": {"scheme": "ridge", "arguments": {}}})])
def test_an_inner_scheme_that_solves_the_head_too_is_refused(inner):
    with pytest.raises(Refused, match="headstart: inner is or holds (ridge|headstart), which solves the head too"):
        headstart(inner)


def test_a_run_of_one_round_is_refused():
    with pytest.raises(Refused, match="take `ridge`, or more rounds"):
        headstart().start(replace(tiny_model(tiny_plan()), rounds=1), SITES, 7)

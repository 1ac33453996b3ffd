"""A federation of many sites: lines that count names, one network in a process, replies that wait on disk."""

import gc
from dataclasses import replace

import pytest
import torch

from brainct.core.names import site_names
from brainct.core.scheme import Task
from brainct.core.weights import sha256
from brainct.errors import Refused
from brainct.protocol.requests import DescribeRequest, TrainRequest
from brainct.run.rehearse import rehearse
from brainct.run.run_record import read_record
from brainct.run.summary import last_lines
from brainct.site.worker import agents
from tests.conftest import first_weights, tiny_plan, tiny_scans

MANY = site_names(40)


@pytest.fixture
def finished(tmp_path):
    """A run of 40 sites in which twelve miss the round, its lines, and its folder."""
    lines = []
    lose = [(site, 0) for site in MANY[28:]]
    plan = tiny_plan(rounds=1, fit={"steps": 1})
    rehearse(plan, MANY, tmp_path / "run", lose=lose, opener=opener, log=lines.append)
    return read_record(tmp_path / "run" / "record.json"), lines, tmp_path / "run"


def opener(file, site, sites, plan):
    """Four scans of a site, and a note that all sites share."""
    number = int(site.removeprefix("site-"))
    return replace(tiny_scans(number, 4), fingerprint=f"{number:064x}", notes=("made up",))


def test_the_lines_of_a_run_of_many_sites_count_them(finished):
    record, lines, folder = finished
    said = [*lines, *last_lines(record, folder).splitlines()]
    assert "40 sites (site-1, site-10, ...): made up" in lines
    assert "round 0: lost 12 sites (site-29, site-30, ...) (lost on purpose by --lose)" in lines
    assert "12 sites (site-29, site-30, ...) missed round 0: lost on purpose by --lose" in said
    assert "... and 32 more; all 40 sites are in record.json" in said
    assert max(map(len, said)) < 200
    assert len(said) < 25


def test_a_refusal_counts_names_too(tmp_path):
    with pytest.raises(Refused, match=r"the sites are 40 sites \(site-1, site-10, \.\.\.\)$"):
        rehearse(tiny_plan(), MANY, tmp_path / "run", lose=[("nobody", 0)], opener=opener)


def test_sites_of_one_process_share_a_network_and_hold_no_reply(tmp_path):
    """Else memory grows by two models a site."""
    before = tensors()
    made = agents(MANY[:3], tmp_path / "state", None, redact=False, opener=opener)
    plan = tiny_plan(rounds=1, fit={"steps": 1})
    common = {"run": "run", "sites": tuple(MANY[:3]), "plan": plan.model_dump(), "exchange": "x"}
    task = Task(first_weights(plan))
    replies = []
    for agent in made.values():
        agent.reply(DescribeRequest(new=True, **common))
        asked = TrainRequest(round=0, step=0, task=task, shared={}, **common)
        replies += [agent.reply(asked), agent.reply(asked)]
        assert sha256(replies[-1].weights) == sha256(replies[-2].weights)
        assert "answers" not in agent.state.kept("run")
    assert len({id(agent._learners._prepared) for agent in made.values()}) == 1
    known = before | {id(value) for reply in replies for value in reply.weights.values()}
    # the start, the shared network and its gradient; nothing that a site holds
    assert len(tensors(replies[0].weights["conv1.weight"].shape) - known) <= 4


def tensors(shape=None):
    """The identities of all tensors alive, by default of any shape; those alive before are not this test's."""
    gc.collect()
    found = [one for one in gc.get_objects() if type(one) in (torch.Tensor, torch.nn.Parameter)]
    return {id(one) for one in found if shape is None or one.shape == shape}

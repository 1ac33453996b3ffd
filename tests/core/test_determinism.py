"""Servers and sites compute on one thread, each by itself: in FLARE no other process does it for them."""

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from brainct.run.record import RecordWriter
from brainct.run.rounds import Run
from brainct.site.agent import SiteAgent
from tests.conftest import tiny_plan


def server(folder):
    plan = tiny_plan()
    Run(plan, ["a"], lambda orders, inbox: None, RecordWriter(folder, plan, plan.build(), "test", board=False))


def site(folder):
    SiteAgent("a", folder, None)


@pytest.mark.parametrize("begins", [server, site])
def test_who_computes_in_a_run_does_so_on_one_thread(begins, tmp_path):
    np.linalg.inv(np.eye(2))
    torch.set_num_threads(2)
    threadpool_limits(2)
    begins(tmp_path)
    assert torch.get_num_threads() == 1
    assert {one["num_threads"] for one in threadpool_info()} == {1}

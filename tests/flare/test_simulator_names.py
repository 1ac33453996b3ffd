"""Each site of FLARE's simulator starts under its own name, also where two processes come up in the same moment."""

import pickle
import threading

import pytest
from nvflare.private.fed.app.simulator.simulator_runner import SimulatorClientRunner

from brainct.flare import simulator_patch

SITES = [f"site-{number}" for number in range(1, 9)]


def names_sent():
    """What a runner's threads send to the processes of their sites, if all write before the first one sends."""
    runner = SimulatorClientRunner.__new__(SimulatorClientRunner)
    runner.build_ctx = {"client_name": "", "server_config": [{"target": "localhost"}]}
    all_wrote, sent = threading.Barrier(len(SITES)), {}

    def start(site):
        runner.build_ctx["client_name"] = site
        all_wrote.wait(30)
        sent[site] = pickle.loads(pickle.dumps(runner.build_ctx))

    threads = [threading.Thread(target=start, args=[site]) for site in SITES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(context["server_config"] == [{"target": "localhost"}] for context in sent.values())
    return {site: context["client_name"] for site, context in sent.items()}


@pytest.fixture
def unmended():
    """The class as FLARE has it, before and after."""
    vars(SimulatorClientRunner).get("build_ctx") and delattr(SimulatorClientRunner, "build_ctx")
    yield
    delattr(SimulatorClientRunner, "build_ctx")


@pytest.mark.usefixtures("unmended")
def test_each_thread_sends_the_name_of_its_own_site():
    assert len(set(names_sent().values())) == 1, "FLARE has fixed its race: remove simulator_patch"
    simulator_patch.patch_simulator()
    assert names_sent() == {site: site for site in SITES}
    simulator_patch.patch_simulator()
    assert names_sent() == {site: site for site in SITES}

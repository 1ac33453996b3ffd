"""Each site of FLARE's simulator starts under its own name and at its own port, also where two start at one moment."""

import pickle
import socket
import threading

import pytest
from nvflare.fuel.utils.network_utils import get_open_ports
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


def connects_while_a_fork_holds_its_sockets(ports, monkeypatch):
    """Whether somebody can connect to a port that was given away, while a process that was forked meanwhile has its
    socket still."""
    with monkeypatch.context() as patch:
        held = []
        patch.setattr(socket.socket, "close", lambda one: held.append(one))
        (port,) = ports(1)
    try:
        socket.create_connection(("localhost", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    finally:
        for one in held:
            one.close()
    return True


def test_a_port_that_is_given_away_refuses_until_its_site_listens(monkeypatch):
    assert connects_while_a_fork_holds_its_sockets(get_open_ports, monkeypatch), "FLARE has fixed it: remove open_ports"
    assert not connects_while_a_fork_holds_its_sockets(simulator_patch.open_ports, monkeypatch)


def test_ports_are_free_and_no_two_are_the_same():
    found = simulator_patch.open_ports(20)
    assert len(set(found)) == 20
    for port in found:
        with socket.socket() as one:
            one.bind(("", port))

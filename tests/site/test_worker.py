"""A process in which a site trains: killed, stopped, orphaned; forked and fresh ones alike."""

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from brainct.core import serialization
from brainct.core.weights import sha256
from brainct.errors import failed
from brainct.site.agent import SiteAgent
from brainct.site.worker import Worker, context
from tests.conftest import tiny_plan
from tests.support.requests import request

pytestmark = pytest.mark.usefixtures("small_site")


@pytest.fixture
def hired(tmp_path, small_site):
    """Workers as a site has them; ended after the test."""
    found = []

    def hire(threads=True, log=lambda line: None, site_file=small_site):
        how = context(None if threads else tiny_plan())
        found.append(Worker(["site-1"], tmp_path / "client_state", site_file, log, redact=True, context=how))
        return found[-1]

    yield hire
    for worker in found:
        worker.close()


def children():
    return [process for process in psutil.Process().children() if "resource_tracker" not in " ".join(process.cmdline())]


@pytest.mark.parametrize("threads", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_forked_and_a_fresh_process_reply_as_an_agent_does_bit_identically(threads, hired, tmp_path, small_site):
    plan = tiny_plan("fedavg")
    asked = request(plan, "describe")
    worker, agent = hired(threads), SiteAgent("site-1", tmp_path / "other", small_site)
    mine, its = agent.reply_plain(asked)["about"], worker.ask("site-1", asked)["about"]
    assert mine.pop("fingerprint") != its.pop("fingerprint"), "each site folder has a secret of its own"
    assert mine == its
    asked = request(plan)
    mine, its = agent.reply_plain(asked), worker.ask("site-1", asked)
    assert sha256(mine["weights"]) == sha256(its["weights"])


def test_a_killed_process_is_started_again_and_its_request_repeated(hired):
    lines = []
    worker = hired(threads=False, log=lines.append)
    worker.ask("site-1", request(tiny_plan(), "describe"))
    wanted = worker.ask("site-1", request(tiny_plan()))
    children()[0].kill()
    assert sha256(worker.ask("site-1", request(tiny_plan()))["weights"]) == sha256(wanted["weights"])
    assert len(lines) == 1
    assert "was killed by signal 9 (SIGKILL); it is started again and its request repeated" in lines[0]


def test_a_request_that_kills_its_process_twice_is_an_error_and_the_next_gets_its_reply(hired, monkeypatch, caplog):
    real = SiteAgent.reply

    def answer(agent, asked):
        if asked.round == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(agent, asked)

    monkeypatch.setattr(SiteAgent, "reply", answer)
    worker = hired(threads=False)
    worker.ask("site-1", request(tiny_plan(), "describe"))
    error = worker.ask("site-1", request(tiny_plan(), round=1))["error"]
    assert error == failed("site-1")  # how a process ended may follow from the scans; the site's own log says it
    assert caplog.messages[-1].endswith("of site-1 was killed by signal 9 (SIGKILL), twice in this exchange")
    assert "weights" in worker.ask("site-1", request(tiny_plan(), round=2))


def test_a_request_is_dropped_and_its_process_ended_when_it_must_stop(hired, monkeypatch):
    monkeypatch.setattr(SiteAgent, "reply", lambda agent, asked: time.sleep(1000))
    worker = hired(threads=False)
    began = time.monotonic()
    assert worker.ask("site-1", request(tiny_plan()), lambda: time.monotonic() - began > 0.3) == {
        "error": "site-1 was stopped by the server"
    }
    assert not children()


def test_lines_for_the_sites_own_people_are_logged_in_the_sites_own_process(hired, tmp_path, caplog):
    (tmp_path / "bad.yaml").write_text(f"kind: manifest\nroot: {tmp_path}/DOE_JANE\nlabels: labels.csv\n")
    worker = hired(threads=False, site_file=tmp_path / "bad.yaml")
    with caplog.at_level(logging.INFO):
        error = worker.ask("site-1", request(tiny_plan(), "describe"))["error"]
    assert "DOE_JANE" not in error
    assert "DOE_JANE" in caplog.text


def test_a_process_in_the_middle_of_a_request_ends_with_its_parent(tmp_path, small_site, monkeypatch):
    monkeypatch.setattr(SiteAgent, "reply", lambda agent, asked: time.sleep(1000))

    def parent(pipe):
        worker = Worker(["site-1"], tmp_path, small_site, print, redact=True, context=context(tiny_plan()))
        worker.send("site-1", serialization.pack(request(tiny_plan())))
        pipe.send(psutil.Process().children()[0].pid)
        time.sleep(1000)

    here, there = multiprocessing.get_context("fork").Pipe()
    process = multiprocessing.get_context("fork").Process(target=parent, args=(there,))
    process.start()
    child = psutil.Process(here.recv())
    process.kill()
    process.join()
    assert psutil.wait_procs([child], timeout=20)[1] == []


@pytest.mark.parametrize(("architecture", "wanted"), [("cnn", False), ("densenet-small", True)])
def test_before_a_fork_exactly_what_the_plans_training_needs_is_imported(architecture, wanted):
    code = (
        "import sys\nfrom brainct.job.config import plan_of\nfrom brainct.site.worker import context\n"
        f"plan = plan_of({{'scheme': 'fedavg', 'network': {{'architecture': {architecture!r}}}}}, 'here')\n"
        "context(plan)\nprint([name in sys.modules for name in ('monai', 'torch._dynamo', 'sklearn.metrics')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str([wanted, True, True])

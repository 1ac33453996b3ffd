"""A representative part of docs/faults.md, for real: four provisioned hospitals, killed at named moments."""

import json

import pytest

from tests.support.faults import SITE, theatre

pytestmark = pytest.mark.slow


@pytest.fixture
def stage(tmp_path, small_site):
    with theatre(tmp_path) as stage:
        yield stage


@pytest.mark.timeout(1200)
def test_killed_processes_of_a_site_and_of_the_server_cost_no_closed_round(stage):
    """One federation for all of it: starting one costs more than what is looked at."""
    check_that_a_site_that_loses_each_of_its_processes_is_back_and_misses_nothing(stage)
    check_that_a_killed_server_job_is_resumed_to_the_same_model(stage)


def check_that_a_site_that_loses_each_of_its_processes_is_back_and_misses_nothing(stage):
    choose(stage, "feddc")
    seen = stage.play(
        ("during the reply", 1, lambda: stage.kill("trainer")),
        ("before the reply", 2, lambda: stage.kill("site's job process")),
        ("before the reply", 3, lambda: cut_off(stage)),
    )
    assert (seen.status, seen.missed) == ("FINISHED:COMPLETED", {})
    assert seen.sha256 == stage.calm()


def check_that_a_killed_server_job_is_resumed_to_the_same_model(stage):
    """With a scheme that keeps state at the server and at the sites."""
    choose(stage, "scaffold")
    seen = stage.play(("during the reply", 2, lambda: stage.kill("server's job process")))
    assert seen.status == "FINISHED:EXECUTION_EXCEPTION"
    again = stage.resume()
    assert (again.status, again.missed, again.resumed) == ("FINISHED:COMPLETED", {}, 2)
    assert again.sha256 == stage.calm()


def cut_off(stage):
    """The site's machine loses its power, and is started again at once."""
    stage.kill("whole site")
    stage.federation.start(SITE)


def choose(stage, scheme):
    """A job whose rounds wait for all four, however long a process takes to start on a busy machine."""
    stage.choose(scheme, {"rounds": 5, "quorum": 4, "deadline": 400.0})
    file = stage.job / "app" / "config" / "config_fed_server.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "dead_client_grace_period": 400}))

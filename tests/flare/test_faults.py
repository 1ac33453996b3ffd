"""A representative part of the fault table, for real: provisioned hospitals, processes killed at named moments."""

import pytest

from tests.flare.faults import HOSPITALS, SITE, theatre

pytestmark = pytest.mark.slow


def test_processes_that_are_killed_cost_nothing_or_what_the_table_says(tmp_path, small_site):
    """One federation for all of it: starting one costs more than what is looked at."""
    with theatre(tmp_path, HOSPITALS[:3]) as stage:
        calm = stage.calm()
        check_that_a_trainer_and_a_sites_job_process_cost_nothing(stage, calm)
        check_that_a_servers_job_is_resumed_to_the_same_model(stage, calm)
        check_that_a_lost_site_costs_its_rounds_and_comes_back(stage)


def check_that_a_trainer_and_a_sites_job_process_cost_nothing(stage, calm):
    seen = stage.play(lambda: [stage.kill("trainer"), stage.kill("site's job process")], "during the reply")
    assert seen.status == "FINISHED:COMPLETED"
    assert seen.missed == {}
    assert seen.sha256 == calm


def check_that_a_servers_job_is_resumed_to_the_same_model(stage, calm):
    killed = stage.play(lambda: stage.kill("server's job process"), "closing the round")
    assert killed.status == "FINISHED:EXECUTION_EXCEPTION"
    resumed = stage.resume()
    assert resumed.status == "FINISHED:COMPLETED"
    assert resumed.missed == {}
    assert resumed.sha256 == calm


def check_that_a_lost_site_costs_its_rounds_and_comes_back(stage):
    def power_cut():
        stage.kill("whole site")
        stage.federation.start(SITE)

    seen = stage.play(power_cut, "before the reply", round=1)
    assert seen.status == "FINISHED:COMPLETED"
    assert set(seen.missed) <= {SITE}
    assert 4 not in seen.missed.get(SITE, [])

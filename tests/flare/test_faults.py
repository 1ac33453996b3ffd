"""A representative part of the fault table, for real: four provisioned hospitals, processes killed at named moments."""

import pytest

from brainct import jobs
from brainct.rehearse import rehearse
from tests.flare.faults import HOSPITALS, SITE, theatre

pytestmark = pytest.mark.slow


@pytest.fixture
def stage(tmp_path, small_site):
    with theatre(tmp_path) as stage:
        yield stage


def calm(stage, tmp_path):
    return rehearse(jobs.read(stage.job), HOSPITALS, tmp_path / "calm", tell=lambda line: None).content["model_sha256"]


def test_a_trainer_and_a_sites_job_process_that_are_killed_cost_nothing(stage, tmp_path):
    seen = stage.play(lambda: [stage.kill("trainer"), stage.kill("site's job process")], "during the reply")
    assert seen.status == "FINISHED:COMPLETED"
    assert seen.missed == {}
    assert seen.sha256 == calm(stage, tmp_path)


def test_a_servers_job_that_is_killed_while_it_closes_a_round_is_resumed_to_the_same_model(stage, tmp_path):
    killed = stage.play(lambda: stage.kill("server's job process"), "closing the round")
    assert killed.status == "FINISHED:EXECUTION_EXCEPTION"
    resumed = stage.resume()
    assert resumed.status == "FINISHED:COMPLETED"
    assert resumed.missed == {}
    assert resumed.sha256 == calm(stage, tmp_path)


def test_a_site_that_is_lost_costs_its_rounds_and_is_back_once_it_is_started_again(stage):
    def power_cut():
        stage.kill("whole site")
        stage.federation.start(SITE)

    seen = stage.play(power_cut, "before the reply", round=1)
    assert seen.status == "FINISHED:COMPLETED"
    assert set(seen.missed) <= {SITE}
    assert 4 not in seen.missed.get(SITE, [])

"""Searches for causal graphs in FLARE end with the graph and groups that they were rehearsed to."""

import os

import pytest

from brainct.core.names import site_names
from brainct.flare.admin import submit_job
from brainct.flare.local_federation import Federation, free_port, provision
from brainct.job import folders
from brainct.run.rehearse import rehearse
from tests.conftest import ROOT
from tests.support.faults import LEAD, ready
from tests.support.fewer import project_of
from tests.support.simulator import model_hash, simulate

JOBS = ["peri_environments", "peri", "orion"]
"""As they are shipped; the first asks its sites once, the others in many short rounds."""
HOSPITALS = ["hospital-a", "hospital-b", "hospital-c"]


def rehearsed(name, sites, folder):
    return rehearse(folders.read(ROOT / "jobs" / name), sites, folder, log=lambda line: None).content["model_sha256"]


@pytest.fixture(autouse=True)
def generated(monkeypatch):
    monkeypatch.delenv("BRAINCT_SITE", raising=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=[pytest.mark.nightly] * (at > 0)) for at, one in enumerate(JOBS)]
)
def test_a_search_ends_in_the_simulator_with_the_graph_that_it_was_rehearsed_to(name, workspace, tmp_path):
    code, text = simulate(ROOT / "jobs" / name, workspace, 3)
    assert code == 0, text
    assert model_hash(text) == rehearsed(name, site_names(3), tmp_path / "out")


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_every_search_ends_at_provisioned_hospitals_under_the_standard_policy_with_its_rehearsed_graph(tmp_path):
    project, policy = project_of(HOSPITALS, tmp_path), ROOT / "provisioning" / "policy"
    kits = provision(project, tmp_path / "f", policy, free_port(), privacy="standard")
    with Federation(kits, tmp_path / "home", {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}) as federation:
        federation.start()
        ready(federation)
        with federation.session(LEAD) as session:
            for name in JOBS:
                outcome = submit_job(session, ROOT / "jobs" / name, tmp_path / name, lambda line: None)
                assert outcome.record.model_sha256 == rehearsed(name, HOSPITALS, tmp_path / f"calm-{name}")
                print(name, outcome.record.model_sha256)

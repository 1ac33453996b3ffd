"""A job that starts from a model ends with the same model in all ways to run it: the file travels in the job folder."""

import json
import os

import pytest

from brainct.core.names import site_names
from brainct.flare.admin import submit_job
from brainct.flare.local_federation import Federation, free_port, prepare_poc, provision
from brainct.job import copies, folders
from brainct.run import start_model
from brainct.run.rehearse import rehearse
from tests.conftest import PHANTOM, ROOT
from tests.support.faults import LEAD, ready
from tests.support.fewer import project_of
from tests.support.simulator import model_hash, simulate, small_job

PROJECT = ROOT / "provisioning" / "project.yml"
HOSPITALS = ["hospital-a", "hospital-b"]


def quiet(line):
    pass


def started(folder, sites):
    """A job that starts from an earlier run, and the record of its rehearsal over these sites."""
    job = small_job(folder / "jobs", "fedavg", rounds=2)
    rehearse(folders.read(job), sites, folder / "first", log=quiet)
    start, file = start_model.named(str(folder / "first"), folders.read(job))
    out = copies.starting(job, start, file.read_bytes(), folder / "fedavg-started")
    record = rehearse(folders.read(out), sites, folder / "calm", start=folders.start_file(out), log=quiet).content
    assert record["start"]["head"] == "kept"
    return out, record


@pytest.mark.slow
def test_in_the_simulator(tmp_path, workspace, small_site):
    job, calm = started(tmp_path, site_names(2))
    code, text = simulate(job, workspace, 2)
    assert code == 0, text
    assert model_hash(text) == calm["model_sha256"]
    found = json.loads((workspace / "server" / "simulate_job" / "brainct" / "record.json").read_text())
    assert found["start"] == calm["start"]


@pytest.mark.slow
@pytest.mark.nightly
def test_in_the_proof_of_concept(tmp_path, small_site):
    job, calm = started(tmp_path, site_names(2))
    kits = prepare_poc(PROJECT, tmp_path / "f", site_names(2))
    with Federation(kits, tmp_path / "home") as federation:
        federation.start()
        federation.ready()
        with federation.session(LEAD) as session:
            outcome = submit_job(session, job, tmp_path / "out", quiet)
    assert outcome.record.model_sha256 == calm["model_sha256"]


@pytest.mark.slow
@pytest.mark.nightly
def test_at_provisioned_sites(tmp_path, monkeypatch):
    (tmp_path / "site.yaml").write_text(PHANTOM)
    monkeypatch.setenv("BRAINCT_SITE", str(tmp_path / "site.yaml"))
    job, calm = started(tmp_path, HOSPITALS)
    kits = provision(project_of(HOSPITALS, tmp_path), tmp_path / "f", ROOT / "provisioning" / "policy", free_port())
    extra = {"BRAINCT_SITE": str(tmp_path / "site.yaml"), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    with Federation(kits, tmp_path / "home", extra) as federation:
        federation.start()
        ready(federation)
        with federation.session(LEAD) as session:
            outcome = submit_job(session, job, tmp_path / "out", quiet)
    assert outcome.record.model_sha256 == calm["model_sha256"]
    assert outcome.record.start.model_dump() == calm["start"]

"""Real servers and hospitals on loopback: FLARE's own processes from provisioned kits, mutual TLS, sites' policies."""

import json
from hashlib import sha256
from pathlib import Path

import pytest
from nvflare.fuel.flare_api.api_spec import AuthorizationError

from brainct import jobs
from brainct.errors import Refused
from brainct.flare.federation import Federation, flare, free_port, provision
from brainct.flare.lead import submit
from brainct.kits import kind_of
from brainct.rehearse import rehearse
from tests.conftest import ROOT
from tests.flare.fewer import project_of
from tests.flare.test_simulator import small_job

pytestmark = pytest.mark.slow
HOSPITALS = ["hospital-a", "hospital-b"]
LEAD, MEMBER, ADMIN = "lead@consortium.example", "radiology@hospital-a.example", "admin@consortium.example"


@pytest.fixture
def federation(tmp_path, small_site):
    """Two hospitals of provisioning/project.yml, up and ready, in a folder of their own; afterwards nothing runs."""
    project = project_of(HOSPITALS, tmp_path)
    kits = provision(project, tmp_path / "federation", ROOT / "provisioning" / "policy", free_port())
    with Federation(kits, tmp_path / "federation" / "home") as federation:
        federation.start()
        federation.ready()
        yield federation


def test_jobs_of_a_lead_and_a_member_on_provisioned_hospitals_and_a_kit_for_one_more(federation, tmp_path):
    """One federation for all of it: starting one costs more than what is looked at."""
    check_that_a_member_may_not_submit(federation, tmp_path)
    check_that_a_job_that_fails_says_why(federation, tmp_path)
    check_that_a_job_ends_as_rehearsed(federation, tmp_path)
    check_that_the_kit_of_one_more_hospital_changes_no_other(federation, tmp_path)
    federation.shut_down(ADMIN)
    assert federation.stop() == 0
    assert not (Path.home() / ".nvflare" / "brainct").exists()


def check_that_a_member_may_not_submit(federation, folder):
    with federation.session(MEMBER) as session, pytest.raises(AuthorizationError, match="submit_job"):
        submit(session, small_job(folder / "member", "fedavg"), folder / "out", lambda line: None)


def check_that_a_job_that_fails_says_why(federation, folder):
    broken = small_job(folder / "broken", "fedavg", quorum=9)
    with federation.session(LEAD) as session, pytest.raises(Refused, match="quorum is 9, but the federation has 2"):
        submit(session, broken, folder / "out", lambda line: None)


def check_that_a_job_ends_as_rehearsed(federation, folder):
    job, lines = small_job(folder / "feddc", "feddc", rounds=2), []
    with federation.session(LEAD) as session:
        outcome = submit(session, job, folder / "out", lines.append)
    assert outcome.sites == dict.fromkeys(["server", *HOSPITALS], "OK")
    assert outcome.record["model_sha256"] == rehearsed(job, HOSPITALS, folder / "rehearsed-feddc")
    assert [line[:8] for line in lines if line.startswith("round")] == ["round 0:", "round 1:"]
    assert json.loads((outcome.folder / "record.json").read_text()) == outcome.record


def check_that_the_kit_of_one_more_hospital_changes_no_other(federation, folder):
    place, added = folder / "federation", folder / "e.yml"
    added.write_text("name: hospital-e\ntype: client\norg: hospital_e\n")
    before = {name: startup_of(kit) for name, kit in federation.kits.items()}
    words = ("-p", str(place / "project.yml"), "-w", str(place / "kits"))
    flare("provision", *words, "--add-client", str(added), "--force", home=place / "home")
    again = place / "kits" / "brainct" / "prod_01"
    assert {name: startup_of(again / name) for name in before} == before
    assert {name: startup_of(kit) for name, kit in federation.kits.items()} == before
    assert kind_of(again / "hospital-e") == "hospital"


def rehearsed(job: Path, sites: list[str], out: Path) -> str:
    return rehearse(jobs.read(job), sites, out, tell=lambda line: None).content["model_sha256"]


def startup_of(kit: Path) -> dict[str, str]:
    """SHA-256 of every file of a kit that its owner may not change."""
    return {file.name: sha256(file.read_bytes()).hexdigest() for file in (kit / "startup").iterdir()}

"""Real servers and hospitals on loopback: FLARE's own processes from provisioned kits, mutual TLS, sites' policies."""

import json
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from nvflare.fuel.flare_api.api_spec import AuthorizationError

from brainct import jobs
from brainct.errors import Refused
from brainct.flare.federation import Federation, flare, free_port, provision
from brainct.flare.lead import submit
from brainct.kits import lay
from brainct.rehearse import rehearse
from tests.conftest import ROOT
from tests.flare.test_simulator import small_job

pytestmark = pytest.mark.slow
HOSPITALS = ["hospital-a", "hospital-b", "hospital-c", "hospital-d"]
LEAD, ADMIN = "lead@consortium.example", "admin@consortium.example"


@contextmanager
def hospitals(folder: Path):
    """The federation of provisioning/project.yml, up and ready, in a folder of its own; afterwards nothing runs."""
    kits = provision(ROOT / "provisioning" / "project.yml", folder, ROOT / "provisioning" / "policy", free_port())
    with Federation(kits, folder / "home") as federation:
        federation.start()
        federation.ready()
        yield federation


def rehearsed(job: Path, out: Path) -> str:
    record = rehearse(jobs.read(job), HOSPITALS, out, tell=lambda line: None).content
    return record["model_sha256"]


def test_two_schemes_end_on_provisioned_hospitals_with_the_models_that_they_were_rehearsed_to(tmp_path, small_site):
    chosen = [small_job(tmp_path / name, name, rounds=2) for name in ("fedavg", "feddc")]
    with hospitals(tmp_path / "federation") as federation:
        for job in chosen:
            lines: list[str] = []
            with federation.session(LEAD) as session:
                outcome = submit(session, job, tmp_path / "out", lines.append)
            assert outcome.sites == dict.fromkeys(["server", *HOSPITALS], "OK")
            assert outcome.record["model_sha256"] == rehearsed(job, tmp_path / f"rehearsed-{job.name}")
            assert [line[:8] for line in lines if line.startswith("round")] == ["round 0:", "round 1:"]
        federation.shut_down(ADMIN)
        assert federation.stop() == 0
    assert not (Path.home() / ".nvflare" / "brainct").exists()
    assert json.loads((outcome.folder / "record.json").read_text()) == outcome.record


def test_a_fifth_hospital_joins_a_running_federation_and_the_other_kits_do_not_change(tmp_path, small_site):
    job = small_job(tmp_path / "jobs", "fedavg", rounds=2)
    (tmp_path / "e.yml").write_text("name: hospital-e\ntype: client\norg: hospital_e\n")
    with hospitals(tmp_path / "federation") as federation:
        folder = tmp_path / "federation"
        before = {name: startup_of(kit) for name, kit in federation.kits.items()}
        words = ("-p", str(folder / "project.yml"), "-w", str(folder / "kits"))
        flare("provision", *words, "--add-client", str(tmp_path / "e.yml"), "--force", home=folder / "home")
        again = folder / "kits" / "brainct" / "prod_01"
        assert {name: startup_of(again / name) for name in before} == before
        assert {name: startup_of(kit) for name, kit in federation.kits.items()} == before
        lay(again / "hospital-e", ROOT / "provisioning" / "policy")
        federation.add(again / "hospital-e")
        federation.ready()
        with federation.session(LEAD) as session:
            outcome = submit(session, job, tmp_path / "out", lambda line: None)
    five = [*HOSPITALS, "hospital-e"]
    assert sorted(outcome.record["sites"]) == five
    record = rehearse(jobs.read(job), five, tmp_path / "rehearsed", tell=lambda line: None).content
    assert outcome.record["model_sha256"] == record["model_sha256"]


def startup_of(kit: Path) -> dict[str, str]:
    """SHA-256 of every file of a kit that its owner may not change."""
    return {file.name: sha256(file.read_bytes()).hexdigest() for file in (kit / "startup").iterdir()}


def test_a_member_may_not_submit_and_a_job_that_fails_says_why(tmp_path, small_site):
    with hospitals(tmp_path / "federation") as federation:
        member = "radiology@hospital-a.example"
        job = small_job(tmp_path / "jobs", "fedavg")
        with federation.session(member) as session, pytest.raises(AuthorizationError, match="submit_job"):
            submit(session, job, tmp_path / "out", lambda line: None)
        broken = small_job(tmp_path / "broken", "fedavg", quorum=9)
        with federation.session(LEAD) as session, pytest.raises(Refused, match="quorum is 9, but the federation has 4"):
            submit(session, broken, tmp_path / "out", lambda line: None)

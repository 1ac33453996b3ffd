"""Real servers and hospitals on loopback: FLARE's own processes from provisioned kits, mutual TLS, sites' policies."""

import json
from contextlib import contextmanager
from pathlib import Path

import pytest

from brainct import jobs
from brainct.flare.federation import Federation, free_port, provision
from brainct.flare.lead import submit
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

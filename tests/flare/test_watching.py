"""What people see of a running job, of its server that is killed, and of one that is back."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from brainct.core.names import site_names
from brainct.flare.local_federation import Federation, environment, prepare_poc
from tests.conftest import ROOT
from tests.support.simulator import small_job

pytestmark = pytest.mark.slow
LEAD, ADMIN = "lead@consortium.example", "admin@consortium.example"
PATIENCE = 240.0


def until(look, what):
    """What `look` finds, once it finds anything."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what} never came")


def nvflare(place, *words):
    command = [str(Path(sys.executable).parent / "nvflare"), *words]
    done = subprocess.run(command, env=environment(place / "home"), capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(900)
def test_a_running_job_is_watched_its_server_is_killed_and_the_job_ends_as_abandoned(tmp_path, small_site):
    job = small_job(tmp_path / "jobs", "feddc", rounds=5000, evaluate_every=0)
    kits = prepare_poc(ROOT / "provisioning" / "project.yml", tmp_path, site_names(2))
    with Federation(kits, tmp_path / "home") as federation:
        federation.start()
        federation.ready()
        printed, following = tmp_path / "printed.txt", None
        try:
            with printed.open("w") as text:
                command = [sys.executable, "-m", "brainct.cli", "submit", str(job), "--kit", str(kits / LEAD)]
                following = subprocess.Popen(
                    [*command, "--out", str(tmp_path / "out")], stdout=text, stderr=text, env=environment(tmp_path)
                )
            name, *_ = until(lambda: re.findall(r"^submitted as (\S+)$", printed.read_text(), re.M), "the job's id")
            until(lambda: re.search(r"^round 1: 2 of 2 sites", printed.read_text(), re.M), "round 1")
            look_at_the_running_job(tmp_path, kits, name)
            federation.kill("server")
            assert following.wait(timeout=PATIENCE) == 2
        finally:
            if following:
                following.kill()
                following.wait()
        last = printed.read_text()
        assert "the server no longer answers" in last
        assert f"brainct submit --follow {name} --kit" in last
        federation.start("server")
        with federation.session(LEAD) as session:
            assert session.get_job_meta(name)["status"] == "FINISHED:ABANDONED"
            session.delete_job(name)


def look_at_the_running_job(place, kits, name):
    own = ("--startup-kit", str(kits / LEAD))
    shown = json.loads(nvflare(place, "job", "stats", name, *own, "--format", "json"))
    found = shown["data"]["stats"]["server"]["brainct"]
    assert 2 <= found["round"] <= found["of"] == 5000
    assert found["asked"] == found["sites"] == 2
    assert found["answered"] <= 2
    assert found["loss"] > 0
    logs = nvflare(place, "job", "logs", name, *own)
    assert re.search(r"^\S+ \S+ - brainct - INFO - round \d+: 2 of 2 sites, training loss", logs, re.M)
    assert "2.9" in nvflare(place, "system", "version", "--startup-kit", str(kits / ADMIN))

"""What runs a kit as a service: read by the tools that would run it; where one is missing, its test says so."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

UNITS = sorted((ROOT / "provisioning" / "systemd").glob("brainct*.*"))
CONTAINERS = ROOT / "provisioning" / "containers"


def tool(name: str, also: str = "") -> str:
    """The path of an installed tool, next to this Python or on PATH."""
    for needed in (name, also):
        near = Path(sys.executable).parent / needed
        found = str(near) if needed and near.is_file() else shutil.which(needed)
        if needed and not found:
            pytest.skip(f"{needed} is not installed here, so nothing of this was validated")
        if needed == name:
            chosen = found
    return chosen


def says(*command: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    return done.returncode, done.stdout + done.stderr


def without(file: Path, line: str, folder: Path, instead: str = "") -> Path:
    """A copy of a file with one line spoiled, which the tool must find."""
    text = file.read_text()
    assert line in text
    copy = folder / file.name
    copy.write_text(text.replace(line, instead))
    return copy


def test_systemd_finds_nothing_wrong_in_the_units_and_something_in_a_spoiled_one(tmp_path):
    analyze = tool("systemd-analyze")
    assert len(UNITS) == 5
    assert says(analyze, "verify", *map(str, UNITS)) == (0, "")
    spoiled = without(UNITS[-1], "Type=exec", tmp_path, "Typ=exec")
    assert "Unknown key" in says(analyze, "verify", str(spoiled))[1]


def test_a_stop_by_systemd_is_no_failure_and_a_shutdown_by_flare_stays():
    text = (ROOT / "provisioning" / "systemd" / "brainct@.service").read_text()
    assert {"SuccessExitStatus=143", "Restart=on-failure"} <= set(text.splitlines())
    assert "sub_start.sh --once" in text


def test_hadolint_finds_nothing_wrong_in_the_dockerfile(tmp_path):
    hadolint = tool("hadolint")
    assert says(hadolint, str(CONTAINERS / "Dockerfile")) == (0, "")
    spoiled = without(CONTAINERS / "Dockerfile", "FROM python:3.11-slim", tmp_path, "FROM python")
    assert "DL3006" in says(hadolint, str(spoiled))[1]


def test_the_image_is_built_and_runs_without_an_index():
    text = (CONTAINERS / "Dockerfile").read_text()
    assert "--no-index" in text
    assert "--require-hashes" in text
    assert "PIP_NO_INDEX=1" in text


def test_podman_compose_reads_the_compose_file(tmp_path):
    compose = tool("podman-compose", also="podman")
    code, said = says(compose, "-f", str(CONTAINERS / "compose.yml"), "config", KIT="/srv/brainct/hospital-a")
    assert code == 0
    service = yaml.safe_load(said[said.index("name:") :])["services"]["flare"]
    assert "/srv/brainct/hospital-a:/srv/brainct/hospital-a" in str(service["volumes"])
    assert service["restart"] == "on-failure"
    code, said = says(compose, "-f", str(CONTAINERS / "compose.yml"), "config", KIT="")
    assert code != 0
    assert "the folder of the kit, absolute" in said


def test_kubernetes_schema_accepts_the_manifest(tmp_path):
    validate, manifest = tool("kubernetes-validate"), CONTAINERS / "kubernetes.yaml"
    code, said = says(validate, "--strict", str(manifest))
    assert (code, said.count("passed for resource")) == (0, 2), said
    spoiled = without(manifest, "  replicas: 1 ", tmp_path, "  replica: 1 ")
    assert says(validate, "--strict", str(spoiled))[0] != 0


def test_shellcheck_finds_nothing_wrong_in_the_slurm_script(tmp_path):
    shellcheck = tool("shellcheck")
    assert says(shellcheck, str(CONTAINERS / "slurm.sh")) == (0, "")
    spoiled = without(CONTAINERS / "slurm.sh", '"$KIT/startup/sub_start.sh"', tmp_path, "$KIT/startup/sub_start.sh")
    assert "SC2086" in says(shellcheck, str(spoiled))[1]


def test_slurm_ends_flare_with_sigterm_and_the_script_passes_it_on(tmp_path):
    """Bash passes no signal on: FLARE would be killed at the time limit; FLARE's own script ends in exec."""
    kit = tmp_path / "a kit"
    (kit / "startup").mkdir(parents=True)
    (kit / "startup" / "sub_start.sh").write_text(
        'exec python3 -c \'import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("ended", '
        'flush=True)));print("up", flush=True); time.sleep(60)\''
    )
    command = ["bash", str(CONTAINERS / "slurm.sh")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "KIT": str(kit)}) as job:
        assert job.stdout.readline() == "up\n"
        job.terminate()
        assert job.stdout.readline() == "ended\n"


def test_logrotate_reads_its_file(tmp_path):
    rotate = tool("logrotate")
    copy = without(ROOT / "provisioning" / "systemd" / "logrotate.conf", "    su brainct brainct\n", tmp_path)
    code, said = says(rotate, "--debug", "--state", str(tmp_path / "state"), str(copy))
    assert (code, "error" in said) == (0, False), said

"""`brainct simulate`: any workspace, Ctrl-C says what is left, and the run continues to the same model."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from brainct.core.names import site_names
from brainct.errors import Refused
from brainct.flare.simulator import left_over, simulate
from brainct.job import folders
from brainct.run.rehearse import rehearse
from tests.conftest import ROOT
from tests.flare.test_poc import heed_interrupts
from tests.support.simulator import model_hash, small_job
from tests.support.simulator import simulate as simulate_by_flare


def typed(*words):
    command = [sys.executable, "-m", "brainct.cli", "simulate", *map(str, words)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
    )


@pytest.mark.parametrize("name", ["ws#1", "a b", "it's", "a\\b", "*"])
def test_a_workspace_in_which_flare_cannot_start_processes_is_refused(name, tmp_path):
    with pytest.raises(Refused, match="in its path, at which FLARE 2.9 splits its own command lines"):
        simulate(ROOT / "jobs" / "feddc", tmp_path / name, site_names(2))
    assert list(tmp_path.iterdir()) == []


def test_there_is_nothing_to_resume_in_a_new_workspace(tmp_path):
    with pytest.raises(Refused, match="run simulate_job has no checkpoint to continue from"):
        simulate(ROOT / "jobs" / "feddc", tmp_path / "new", site_names(2), resume=True)
    assert left_over(tmp_path / "new", "JOB") == "stopped before the first round; nothing is lost"


def test_a_job_that_is_none_is_refused_before_the_workspace_is_emptied(tmp_path):
    kept = tmp_path / "ws" / "server" / "of-an-earlier-run"
    kept.parent.mkdir(parents=True)
    kept.write_text("kept")
    process = typed(tmp_path / "no-job", "--sites", 2, "--workspace", tmp_path / "ws")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert errors.startswith("brainct: ")
    assert "no-job" in errors
    assert "Traceback" not in errors
    assert kept.read_text() == "kept"


def test_the_process_that_starts_the_simulator_loads_neither_torch_nor_flare():
    code = "import sys, brainct.cli.simulate, brainct.flare.simulator;"
    code += "print([name for name in ('torch', 'nvflare', 'numpy') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.slow
def test_flares_own_command_refuses_such_a_workspace_in_a_sentence(tmp_path, workspace, small_site):
    place = workspace.rename(tmp_path / "ws#1")
    code, text = simulate_by_flare(small_job(tmp_path / "jobs", "feddc"), place, 2)
    assert code == 2
    assert "ws#1/server/simulate_job, has '#' in its path" in text


@pytest.mark.slow
def test_an_interrupted_run_says_what_is_left_and_continues_to_the_same_model(tmp_path, small_site):
    """fedper, whose sites have client state, without which the model would differ."""
    job, workspace = small_job(tmp_path / "jobs", "fedper", rounds=12), tmp_path / "workspace"
    record = rehearse(folders.read(job), site_names(2), tmp_path / "calm", log=lambda line: None).content
    process = typed(job, "--sites", 2, "--workspace", workspace)
    try:
        assert any("round 2:" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in errors
    line = r"^stopped; (\d+) of 12 rounds are closed in \S+/runs/simulate_job: `brainct (simulate .*)` continues$"
    found = re.search(line, errors, re.M)
    assert 3 <= int(found[1]) < 12
    resumed = subprocess.run(
        [sys.executable, "-m", "brainct.cli", *found[2].split()],
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert resumed.returncode == 0, resumed.stderr
    assert f"run simulate_job continues after {found[1]} of 12 rounds" in resumed.stdout
    assert model_hash(resumed.stdout) == record["model_sha256"]
    assert left_over(workspace, "JOB").startswith("stopped after the last round; the results are in")


@pytest.mark.slow
def test_ctrl_c_in_flares_own_command_shows_no_traceback_and_says_what_is_left(tmp_path, workspace, small_site):
    """FLARE kills the server's process meanwhile: the line is missing if that was faster, and never wrong."""
    job = small_job(tmp_path / "jobs", "feddc", rounds=500)
    command = [str(Path(sys.executable).parent / "nvflare"), "simulator", str(job), "-w", str(workspace)]

    def own_group():
        heed_interrupts()
        os.setpgrp()

    process = subprocess.Popen(
        [*command, "-n", "2", "-t", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=own_group,
    )
    try:
        assert any("round 2:" in line for line in process.stdout)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        text, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode != 0
    assert "Traceback" not in text
    found = re.findall(r"^stopped; (\d+) of 500 rounds are closed .*`brainct simulate JOB --sites 2 .*$", text, re.M)
    assert len(found) <= 1
    left = re.match(r"stopped; (\d+) of 500 rounds", left_over(workspace, "JOB"))
    assert int(left[1]) >= 3
    assert not found or 3 <= int(found[0]) <= int(left[1])


INTERRUPTED = """
from nvflare.private.fed.app.deployer.simulator_deployer import SimulatorDeployer
from nvflare.private.fed.app.simulator import simulator_runner
from brainct.flare.simulator_patch import say_at_interrupt

say_at_interrupt(lambda: "this is left")
try:
    raise KeyboardInterrupt
finally:
    SimulatorDeployer().close()
"""


def test_an_interrupted_simulator_prints_one_line_in_place_of_a_traceback():
    """FLARE's deployer is closed in a `finally`, as its simulator does it."""
    run = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (130, "\nthis is left\n")

"""poc/run.sh as a person types it: the rehearsed model at its end, and nothing left running, however it ends."""

import re
import signal
import subprocess

import psutil
import pytest

from brainct.core.names import site_names
from brainct.job import folders
from brainct.run.rehearse import rehearse
from tests.conftest import ROOT
from tests.support.simulator import model_hash, small_job

pytestmark = pytest.mark.slow
RUN = str(ROOT / "poc" / "run.sh")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The user's own HOME, in which nothing may appear."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def of(workspace):
    """The living processes that have to do with a workspace."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(workspace) in " ".join([*process.cmdline(), *process.environ().values()]):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_a_job_ends_in_the_poc_with_the_model_that_it_was_rehearsed_to(tmp_path, small_site, home):
    job = small_job(tmp_path / "jobs", "fedct", rounds=2, arguments={"period": 1, "warmup": 0})
    workspace, out = tmp_path / "workspace", tmp_path / "out"
    command = [RUN, str(job), "--sites", "2", "--workspace", str(workspace), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=540, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert of(workspace) == []
    assert list(home.iterdir()) == []
    record = rehearse(folders.read(job), site_names(2), tmp_path / "rehearsed", log=lambda line: None).content
    assert model_hash(done.stdout) == record["model_sha256"]
    assert re.findall(r"^round \d+:", done.stdout, re.M) == ["round 0:", "round 1:"]
    assert re.search(r"^seconds: prepare .*, start .*, submit .*, job .*, download .*, stop ", done.stdout, re.M)
    assert (out / "record.json").is_file()


def heed_interrupts():
    """A shell that starts pytest in the background has SIGINT ignored, which children inherit."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_an_interrupted_run_leaves_nothing_running(tmp_path, small_site, home):
    """By Ctrl-C; SIGTERM and SIGHUP take the same way through poc/run.py."""
    job, workspace = small_job(tmp_path / "jobs", "fedavg", rounds=500), tmp_path / "workspace"
    command = [RUN, str(job), "--sites", "2", "--workspace", str(workspace), "--out", str(tmp_path / "out")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=tmp_path, preexec_fn=heed_interrupts
    ) as process:
        try:
            assert process.stdout is not None
            assert any(line.startswith("round 0:") for line in process.stdout)
            assert len(of(workspace)) >= 6  # a server and two sites, each with the process of its job
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=120) != 0
            assert of(workspace) == []
            assert list(home.iterdir()) == []
        finally:
            for left_over in [process, *of(workspace)]:
                left_over.kill()


@pytest.mark.parametrize("name", ["a b/poc", "poc#1"])
def test_a_workspace_in_which_flare_cannot_start_processes_is_refused_before_anything_starts(tmp_path, home, name):
    command = [RUN, str(ROOT / "jobs" / "fedavg"), "--workspace", str(tmp_path / name), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 2
    assert "in its path, at which FLARE 2.9 splits its own command lines" in done.stderr
    assert list(home.iterdir()) == []


def test_a_folder_in_use_is_refused_before_anything_starts(tmp_path, home):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("keep me")
    for option in ("--out", "--workspace"):
        command = [RUN, str(ROOT / "jobs" / "fedavg"), option, str(tmp_path / "mine")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
        assert done.returncode == 2
        assert "is in use; name another one" in done.stderr
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "keep me"
    assert list(home.iterdir()) == []

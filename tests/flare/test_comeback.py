"""A job's process at a site: restarted if it is killed, not if it ends by itself or by FLARE."""

import subprocess
import threading
import time

import psutil
import pytest
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import JobMetaKey
from nvflare.apis.workspace import Workspace
from nvflare.app_common.job_launcher.process_launcher import ProcessHandle

from brainct.errors import Refused
from brainct.flare.comeback import RESTARTS, Launcher, _Handle, _renew_tokens
from tests.support.hostile import ATTACKS


@pytest.fixture
def launched(tmp_path):
    """A handle over real processes, which are ended after the test, and the processes that it started."""
    started = []

    def launch(command):
        def start():
            started.append(subprocess.Popen(command, start_new_session=True))
            return ProcessHandle(process=started[-1])

        (tmp_path / "a-job.json").write_text("{}")
        return _Handle(start, tmp_path / "a-job.json"), started

    yield launch
    for process in started:
        process.kill()
        process.wait()


def waiting(handle):
    thread = threading.Thread(target=handle.wait)
    thread.start()
    return thread


def test_a_killed_process_is_restarted_a_few_times_and_no_more(launched, tmp_path):
    handle, started = launched(["sleep", "1000"])
    thread = waiting(handle)
    for number in range(RESTARTS + 1):
        while len(started) <= number:
            time.sleep(0.01)
        assert thread.is_alive()
        psutil.Process(started[number].pid).kill()
    thread.join(timeout=20)
    assert not thread.is_alive()
    assert len(started) == RESTARTS + 1
    assert not (tmp_path / "a-job.json").exists()


def test_a_process_that_ends_by_itself_is_not_restarted(launched, tmp_path):
    handle, started = launched(["false"])
    handle.wait()
    assert len(started) == 1
    assert handle.poll() == 1
    assert not (tmp_path / "a-job.json").exists()


def test_a_process_that_flare_ends_is_not_restarted(launched):
    handle, started = launched(["sleep", "1000"])
    thread = waiting(handle)
    handle.terminate()
    thread.join(timeout=20)
    assert not thread.is_alive()
    assert len(started) == 1


def test_a_site_that_registers_again_takes_its_own_place_only():
    class Client:
        def __init__(self, name, token):
            self.name, self.token = name, token

    a, b, again = Client("a", "1"), Client("b", "2"), Client("b", "3")
    participants = {"1": a, "2": b}
    _renew_tokens(participants, {"a": a, "b": again, "c": Client("c", "4")})
    assert participants == {"1": a, "3": again}
    _renew_tokens(participants, {})
    assert participants == {"1": a, "3": again}


@pytest.mark.parametrize("job", ["../../local/privacy", "/tmp/x", "a/b", "", ".."])
def test_a_job_whose_id_leads_elsewhere_writes_nothing(job, tmp_path):
    for folder in ("startup", "local"):
        (tmp_path / folder).mkdir()
    (tmp_path / "local" / "privacy.json").write_text("ours")
    context = FLContext()
    context.set_prop(FLContextKey.WORKSPACE_OBJECT, Workspace(str(tmp_path)), private=True, sticky=False)
    with pytest.raises(Refused, match="the run is called") as refusal:
        Launcher().launch_job({JobMetaKey.JOB_ID.value: job, "scopes": []}, context)
    assert (tmp_path / "local" / "privacy.json").read_text() == "ours"
    assert not (tmp_path / "brainct").exists()
    assert "privacy" not in job or str(refusal.value) == ATTACKS["job id elsewhere"].line

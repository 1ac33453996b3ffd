"""What the lead reads of a job that FLARE could not run."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from nvflare.fuel.flare_api.api_spec import NoConnection

from brainct.errors import Refused
from brainct.flare import admin
from brainct.flare.local_federation import free_port
from brainct.job import folders

STATUS = {"status": "FINISHED:FAILED_TO_RUN"}
REASON = {"job_deploy_detail": ["hospital-a: BYOC is not permitted"]}


class Metas:
    """A session whose metas come in FLARE's order: the status first, the sites' words after it."""

    def __init__(self, *metas):
        self.metas = list(metas)

    def get_job_meta(self, job):
        return self.metas.pop(0) if len(self.metas) > 1 else self.metas[0]


def test_a_job_that_could_not_run_has_ended_once_the_sites_reasons_are_written(monkeypatch):
    monkeypatch.setattr(admin, "JOB_POLL_SECONDS", 0.0)
    session = Metas({"status": "SUBMITTED"}, STATUS, STATUS, STATUS | REASON)
    assert admin.ended_meta(session, "job") is None
    assert admin.ended_meta(session, "job") == STATUS | REASON


def test_a_job_that_ends_without_a_reason_is_not_awaited_forever(monkeypatch):
    monkeypatch.setattr(admin, "REASON_SECONDS", 0.0)
    assert admin.ended_meta(Metas(STATUS), "job") == STATUS
    assert admin.ended_meta(Metas({"status": "FINISHED:COMPLETED"}), "job") == {"status": "FINISHED:COMPLETED"}


def test_a_missing_server_is_named(tmp_path):
    port = free_port()
    (tmp_path / "startup").mkdir()
    address = {"admin": {"username": "lead@consortium.example", "host": "127.0.0.1", "port": port}}
    (tmp_path / "startup" / "fed_admin.json").write_text(json.dumps(address))
    looked = []
    with pytest.raises(Refused, match=f"no answer from 127.0.0.1:{port}; is the server started"):
        admin.session_of(tmp_path, timeout=0.3, look=lambda: looked.append("once more"))
    assert len(looked) > 1


class Session(Metas):
    """A server with one job, which runs others first, and then ends or is gone."""

    def __init__(self, running=(), log="", gone=None, status="SUBMITTED"):
        super().__init__({"status": status})
        self.running, self.log, self.gone, self.sent, self.clients = running, log, gone, [], []

    def submit_job(self, folder):
        self.sent.append({path.name: path.stat().st_mode & 0o777 for path in [Path(folder), *Path(folder).rglob("*")]})
        return "0b6f6c1e"

    def get_system_info(self):
        jobs = [SimpleNamespace(job_id=job) for job in self.running]
        return SimpleNamespace(job_info=jobs, client_info=[SimpleNamespace(name=name) for name in self.clients])

    def get_job_logs(self, job):
        if self.gone:
            raise self.gone
        return {"logs": {"server": self.log}}


def rendered(tmp_path):
    folders.render(tmp_path / "jobs")
    return tmp_path / "jobs" / "fedavg"


def test_a_job_is_sent_under_its_own_name_from_within_its_folder_and_without_the_right_to_write_there(
    tmp_path, monkeypatch
):
    job, session = rendered(tmp_path), Session()
    for path in (job, *job.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    monkeypatch.chdir(job)
    assert admin.send_job(session, Path()) == "0b6f6c1e"
    (sent,) = session.sent
    assert next(iter(sent)) == "fedavg"
    assert all(mode & 0o200 for mode in sent.values())
    job.chmod(0o755)


def test_nothing_is_sent_if_the_results_could_not_be_written(tmp_path):
    session = Session()
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="results can't be written to"):
        admin.submit_job(session, rendered(tmp_path), tmp_path / "file" / "x")
    assert session.sent == []


def test_a_waiting_job_says_at_once_its_id_and_what_it_waits_for(tmp_path, monkeypatch):
    monkeypatch.setattr(admin, "JOB_POLL_SECONDS", 0.0)
    monkeypatch.setattr(admin, "SILENT_SECONDS", 0.1)
    session, said = Session(running=["1c565999"]), []

    def log(line):
        said.append(line)
        if len(said) == 2:
            session.gone = NoConnection("cannot connect to server")

    with pytest.raises(admin.ServerLost, match="job 0b6f6c1e may go on there"):
        admin.submit_job(session, rendered(tmp_path), tmp_path / "out", log)
    assert said[:2] == ["submitted as 0b6f6c1e", "waiting for 1c565999, which the server runs first"]
    assert said[2:] == ["the server does not answer; trying for 0 s"]


def test_who_is_missing_is_said_while_it_is_waited_for(monkeypatch):
    monkeypatch.setattr(admin, "JOB_POLL_SECONDS", 0.0)
    session, said = Session(), []

    def log(line):
        said.append(line)
        session.clients = ["hospital-a", "hospital-b"][: len(said)]

    admin.await_sites(session, ["hospital-b", "hospital-a"], log=log)
    assert [line.partition(" s for ")[2] for line in said] == ["hospital-a, hospital-b", "hospital-b"]

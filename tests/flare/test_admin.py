"""What the lead reads of a job that FLARE could not run."""

import json

import pytest

from brainct.errors import Refused
from brainct.flare import admin
from brainct.flare.local_federation import free_port

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

"""Who may resume a run in FLARE."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from nvflare.apis.fl_constant import ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import JobMetaKey
from nvflare.apis.workspace import Workspace

from brainct.errors import Refused
from brainct.flare.server import Rounds
from tests.support.hostile import ATTACKS


def submitted(folder, name, resume="", role="lead", job="a-job"):
    """The server's component of a job that this person submitted, in a kit; FLARE writes the job's meta down."""
    for part in ("startup", "local"):
        (folder / part).mkdir(exist_ok=True)
    workspace, context = Workspace(str(folder)), FLContext()
    context.set_prop(ReservedKey.RUN_NUM, job, private=True, sticky=True)
    rounds = Rounds(resume=resume)
    rounds.engine, rounds.fl_ctx = SimpleNamespace(get_workspace=lambda: workspace), context
    if name:
        file = Path(workspace.get_job_meta_path(job))
        file.parent.mkdir(exist_ok=True)
        meta = {JobMetaKey.SUBMITTER_NAME.value: name, JobMetaKey.SUBMITTER_ROLE.value: role}
        file.write_text(json.dumps(meta))
    return rounds


def test_only_who_started_a_run_or_the_project_administrator_can_resume_it(tmp_path):
    note = tmp_path / "brainct" / "runs" / "a-job" / "submitter.json"
    submitted(tmp_path, "lead@one.example")._check_submitter(note, "a-job")
    submitted(tmp_path, "lead@one.example", "a-job", job="b-job")._check_submitter(note, "a-job")
    submitted(tmp_path, "admin@one.example", "a-job", "project_admin", "c-job")._check_submitter(note, "a-job")
    other = submitted(tmp_path, "lead@two.example", "a-job", job="d-job")
    with pytest.raises(
        Refused, match="run a-job was started by someone else; they or the project administrator"
    ) as refusal:
        other._check_submitter(note, "a-job")
    assert "lead@one.example" not in str(refusal.value)
    assert str(refusal.value) == ATTACKS["another lead resumes"].line


def test_a_run_in_the_simulator_has_no_submitter(tmp_path):
    note = tmp_path / "submitter.json"
    submitted(tmp_path, "")._check_submitter(note, "simulate_job")
    submitted(tmp_path, "", "simulate_job")._check_submitter(note, "simulate_job")

"""`brainct resume` and `brainct runs` as a person types them."""

import json

from brainct.core.names import site_names
from brainct.run.record import RecordWriter
from brainct.run.rehearse import rehearse
from tests.conftest import tiny_plan
from tests.support.command import refused, type_in
from tests.support.kills import begun, quiet


def test_a_killed_run_is_resumed_and_ends_with_the_table_and_the_hash(capsys, small_site, tmp_path):
    wanted = rehearse(tiny_plan("fedavg", rounds=4), site_names(2), tmp_path / "calm", log=quiet).content
    begun(tmp_path / "out")
    code, out, err = type_in(capsys, "resume", tmp_path / "out", "--workers", 2)
    assert code == 0
    assert out.splitlines()[-1] == f"model sha256: {wanted['model_sha256']}"
    assert "continues after 2 of 4 rounds" in err


def test_a_folder_that_is_no_run_is_refused(capsys, tmp_path):
    refused(capsys, "has no checkpoint to continue from", "resume", tmp_path)


def test_a_job_that_resumes_a_run_in_flare_is_its_job_and_the_runs_id(capsys, small_job, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    before = json.loads((small_job / "app" / "config" / "config_fed_server.json").read_text())
    assert type_in(capsys, "resume", "8f3a-1", "--job", small_job)[0] == 0
    folder = tmp_path / "runs" / "feddc-resumes-8f3a-1"
    after = json.loads((folder / "app" / "config" / "config_fed_server.json").read_text())
    assert after["workflows"][0]["args"].pop("resume") == "8f3a-1"
    assert after == before
    was, now = (json.loads((job / "meta.json").read_text()) for job in (small_job, folder))
    assert now == {**was, "name": "feddc-resumes-8f3a-1"}
    assert not [path.name for path in small_job.parent.iterdir() if "resume" in path.name]
    refused(capsys, "is there already", "resume", "8f3a-1", "--job", small_job)
    refused(capsys, "the run is called '../8f3a'", "resume", "../8f3a", "--job", small_job, "--out", tmp_path / "other")
    refused(capsys, "unknown key 'resume'", "rehearse", folder)


def test_what_runs_left_in_a_kit_is_listed_and_removed(capsys, tmp_path, small_site):
    record = RecordWriter(
        tmp_path / "out", tiny_plan(), tiny_plan().build(), "test", states=tmp_path / "brainct/runs/8f3a-1"
    )
    record.checkpoint({})
    (tmp_path / "brainct" / "client_state" / "77bc-2").mkdir(parents=True)
    (tmp_path / "brainct" / "client_state" / "77bc-2" / "hospital-b.safetensors").write_bytes(b"0" * 1_500_000)
    code, out, _ = type_in(capsys, "runs", "list", tmp_path)
    assert code == 0
    assert out.splitlines()[0].startswith("8f3a-1  checkpoint, 0.0 MB, ")
    assert out.splitlines()[1].startswith("77bc-2  client state, 1.5 MB, ")
    refused(capsys, "stores nothing of a run '..'", "runs", "remove", tmp_path, "..")
    assert type_in(capsys, "runs", "remove", tmp_path, "77bc-2")[0] == 0
    assert [line.split()[0] for line in type_in(capsys, "runs", "list", tmp_path)[1].splitlines()] == ["8f3a-1"]


def test_a_run_is_not_removed_while_a_job_runs_at_the_site(capsys, tmp_path):
    (tmp_path / "brainct" / "client_state" / "77bc-2").mkdir(parents=True)
    (tmp_path / "brainct" / "jobs").mkdir()
    (tmp_path / "brainct" / "jobs" / "8f3a-1.json").write_text("{}")
    refused(capsys, "has a running job, 8f3a-1, which may need its client state", "runs", "remove", tmp_path, "77bc-2")
    (tmp_path / "brainct" / "jobs" / "8f3a-1.json").unlink()
    assert type_in(capsys, "runs", "remove", tmp_path, "77bc-2")[0] == 0

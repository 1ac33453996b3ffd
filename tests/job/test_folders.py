"""The job folders: choices, never code, and exactly what the table says."""

import json
import pickle

import pytest

from brainct.errors import Refused
from brainct.job import folders
from brainct.job.config import plan_of
from tests.conftest import ROOT


def test_the_committed_jobs_are_what_the_registry_says():
    assert folders.check(ROOT / "jobs") == []


def test_every_file_of_a_job_is_short_json_and_nothing_else():
    for folder in (ROOT / "jobs").iterdir():
        files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        assert files == ["app/config/config_fed_client.json", "app/config/config_fed_server.json", "meta.json"]
        for name in files:
            text = (folder / name).read_text()
            json.loads(text)
            assert len(text.splitlines()) <= 24


def test_a_changed_missing_or_added_file_is_named(tmp_path):
    folders.render(tmp_path)
    assert folders.check(tmp_path) == []
    meta = tmp_path / "feddc" / "meta.json"
    meta.write_text(meta.read_text().replace("2", "1"))
    (tmp_path / "fedavg" / "meta.json").unlink()
    (tmp_path / "fedavg" / "app" / "custom").mkdir()
    (tmp_path / "fedavg" / "app" / "custom" / "net.py").write_text("import os")
    (tmp_path / "mine").mkdir()
    found = " | ".join(folders.check(tmp_path))
    for words in (
        "jobs/feddc/meta.json differs from the table",
        "jobs/fedavg/meta.json is missing",
        "jobs/fedavg/app/custom/net.py does not belong there",
        "app/custom makes the job bring its own code",
        "jobs/mine is not in the table",
    ):
        assert words in found


def test_a_job_reads_back_as_its_row_of_the_table():
    for name, row in folders.JOBS.items():
        assert folders.read(ROOT / "jobs" / name) == plan_of(row, name)


def spoilt(tmp_path, change):
    folders.render(tmp_path)
    file = tmp_path / "feddc" / "app" / "config" / "config_fed_server.json"
    content = json.loads(file.read_text())
    change(content["workflows"][0])
    file.write_text(json.dumps(content))
    return tmp_path / "feddc"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda flow: flow["args"].update(ronds=3), "unknown key 'ronds'"),
        (lambda flow: flow["args"].update(rounds=0), "rounds is 0; input should be greater than or equal to 1"),
        (lambda flow: flow["args"]["fit"].update(rate=-1), "fit.rate is -1"),
        (lambda flow: flow["args"].update(scheme="os.system"), "unknown scheme 'os.system'"),
        (
            lambda flow: flow["args"]["arguments"].update(daisy_period=0),
            "daisy_period is 0; wanted a whole number",
        ),
        (lambda flow: flow["args"]["arguments"].update(mu=1), "it takes daisy_period"),
        (lambda flow: flow.update(path="nvflare.Other"), "found 0 workflows"),
        (lambda flow: flow["args"].update(fit={"augment": {"flips": 1}}), "flips"),
        (lambda flow: flow["args"].update(network={"architecture": "vgg"}), "vgg"),
    ],
)
def test_a_wrong_choice_in_a_job_is_refused_in_words(tmp_path, change, words):
    with pytest.raises(Refused, match=words):
        folders.read(spoilt(tmp_path, change))


@pytest.mark.parametrize("workflows", [None, ["x"], 3, [{"path": folders.ROUNDS, "args": [1]}]])
def test_workflows_of_another_form_are_refused_in_words(tmp_path, workflows):
    folder = spoilt(tmp_path, lambda flow: None)
    file = folder / "app" / "config" / "config_fed_server.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "workflows": workflows}))
    with pytest.raises(Refused, match="wanted one"):
        folders.read(folder)


@pytest.mark.parametrize("seed", [2**64, 2**64 + 1, -1])
def test_a_seed_that_is_no_64_bit_number_is_refused_in_words(tmp_path, seed):
    with pytest.raises(Refused, match="seed is "):
        folders.read(spoilt(tmp_path, lambda flow: flow["args"].update(seed=seed)))


def test_a_folder_that_is_no_job_and_a_file_that_is_no_json_are_refused(tmp_path):
    with pytest.raises(Refused, match="is no job folder"):
        folders.read(tmp_path)
    folder = spoilt(tmp_path, lambda flow: None)
    (folder / "app" / "config" / "config_fed_server.json").write_text("{")
    with pytest.raises(Refused, match="is not JSON"):
        folders.read(folder)


def test_a_plan_crosses_to_another_process_whatever_its_workload():
    for job in ("feddc", "table_fedavg"):
        plan = folders.read(ROOT / "jobs" / job)
        assert pickle.loads(pickle.dumps(plan)) == plan
        assert type(pickle.loads(pickle.dumps(plan))) is type(plan)

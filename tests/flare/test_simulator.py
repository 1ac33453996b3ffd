"""FLARE's own simulator, started as a user starts it: one process a site, the site's policy enforced."""

import json
import os
import signal
import time

import pytest

from brainct.core.names import site_names
from brainct.job import folders
from brainct.run.rehearse import rehearse
from tests.conftest import ROOT
from tests.support.by_hand import sites_of
from tests.support.families import one_a_family
from tests.support.simulator import model_hash, printed_hash, simulate, small_job

pytestmark = pytest.mark.slow


@one_a_family
def test_a_job_ends_in_the_simulator_with_the_model_that_it_was_rehearsed_to(name, workspace, tmp_path, small_site):
    job = small_job(tmp_path / "jobs", name)
    sites = len(sites_of(folders.JOBS[name]["scheme"]))
    code, text = simulate(job, workspace, sites)
    assert code == 0, text
    record = rehearse(folders.read(job), site_names(sites), tmp_path / "out", log=lambda line: None).content
    assert model_hash(text) == record["model_sha256"]
    simulated = json.loads((workspace / "server" / "simulate_job" / "brainct" / "record.json").read_text())
    for site in simulated["sites"]:  # a simulated site has a secret, under which its fingerprint leaves
        assert simulated["sites"][site].pop("fingerprint") != record["sites"][site].pop("fingerprint")
    for key in ("scheme", "arguments", "seed", "plan", "versions", "sites", "test", "model_sha256"):
        assert simulated[key] == record[key]
    for mine, theirs in zip(simulated["rounds"], record["rounds"], strict=True):
        assert {**mine, "seconds": 0, "answered": 0} == {**theirs, "seconds": 0, "answered": 0}


@pytest.mark.nightly
def test_a_run_ends_early_in_the_simulator_as_in_its_rehearsal(workspace, tmp_path, small_site):
    early = {"score": "brier", "patience": 1, "gain": 1.0}
    job = small_job(tmp_path / "jobs", "feddc", rounds=6, evaluate_every=1, selection=early)
    code, text = simulate(job, workspace, 2)
    assert code == 0, text
    record = rehearse(folders.read(job), site_names(2), tmp_path / "out", log=lambda line: None).content
    simulated = json.loads((workspace / "server" / "simulate_job" / "brainct" / "record.json").read_text())
    assert model_hash(text) == record["model_sha256"]
    assert simulated["selection"] == record["selection"]
    assert record["selection"]["stopped_after"] == 1
    kept = (workspace / "server" / "simulate_job" / "brainct" / "best.safetensors").read_bytes()
    assert kept == (tmp_path / "out" / "best.safetensors").read_bytes()


def test_every_sites_model_meets_every_site_in_the_simulator_as_in_its_rehearsal(workspace, tmp_path, small_site):
    job = small_job(tmp_path / "jobs", "feddc", cross_site=True)
    code, text = simulate(job, workspace, 3)
    assert code == 0, text
    record = rehearse(folders.read(job), site_names(3), tmp_path / "out", log=lambda line: None).content
    simulated = json.loads((workspace / "server" / "simulate_job" / "brainct" / "record.json").read_text())
    assert model_hash(text) == record["model_sha256"]
    assert simulated["cross_site"] == record["cross_site"]
    assert [len(one["scores"]) for one in record["cross_site"].values()] == [3, 3, 3]


def test_the_readme_commands_end_with_the_same_hash(workspace, tmp_path, monkeypatch):
    monkeypatch.delenv("BRAINCT_SITE", raising=False)
    code, text = simulate(ROOT / "jobs" / "feddc", workspace, 4)
    assert code == 0, text
    assert "SYNTHETIC PHANTOM scans, not patients" in text
    plan = folders.read(ROOT / "jobs" / "feddc")
    record = rehearse(plan, site_names(4), tmp_path / "out", workers=2, log=lambda line: None).content
    assert model_hash(text) == record["model_sha256"]


def test_a_killed_site_costs_its_share_and_the_quorum_completes_the_job(workspace, tmp_path, small_site):
    job = small_job(tmp_path / "jobs", "feddc", rounds=8, grace=2, deadline=60)
    killed = []

    def kill_site_2(process):
        began = time.monotonic()
        while not killed and time.monotonic() - began < 120:
            time.sleep(0.01)
            if list(workspace.rglob("brainct/runs/*/memory.safetensors")):
                for child in process.children(recursive=True):
                    words = child.cmdline()
                    if "simulator_worker" in " ".join(words) and words[words.index("--client") + 1] == "site-2":
                        os.kill(child.pid, signal.SIGKILL)
                        killed.append(child.pid)

    code, text = simulate(job, workspace, 3, watch=kill_site_2)
    assert killed
    assert code == 0, text
    assert "lost site-2" in text
    record = json.loads((workspace / "server" / "simulate_job" / "brainct" / "record.json").read_text())
    assert any("site-2" in row["lost"] for row in record["rounds"])
    assert all({"site-1", "site-3"} <= set(row["metrics"]) for row in record["rounds"])
    assert printed_hash(text) == record["model_sha256"]


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"arguments": {"daisy_period": 0}}, "daisy_period is 0; wanted a whole number of rounds"),
        ({"quorum": 9}, "quorum is 9, but the federation has 2 sites"),
    ],
)
def test_a_wrong_choice_ends_the_simulator_with_exit_code_2_and_a_sentence(
    workspace, tmp_path, small_site, choices, words
):
    code, text = simulate(small_job(tmp_path / "jobs", "feddc", **choices), workspace, 2)
    assert code == 2
    assert words in text
    assert "Traceback" not in text


def test_unreadable_scans_end_the_simulator_with_each_sites_reason(workspace, tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINCT_SITE", str(tmp_path / "nowhere.yaml"))
    code, text = simulate(small_job(tmp_path / "jobs", "fedavg"), workspace, 2)
    assert code == 2
    assert "site-1: no site file at" in text
    assert "Traceback" not in text


def test_a_class_that_the_site_did_not_list_is_refused(workspace, tmp_path, small_site):
    job = small_job(tmp_path / "jobs", "fedavg")
    file = job / "app" / "config" / "config_fed_client.json"
    file.write_text(file.read_text().replace(folders.SITE, "nvflare.app_common.np.np_trainer.NPTrainer"))
    code, text = simulate(job, workspace, 2)
    assert code != 0 or "model sha256" not in text
    assert "is not in allow_list" in text

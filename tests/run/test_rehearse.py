"""A rehearsed run: the same bits whatever the workers, resilient to losses, and a record that says what happened."""

import json
import os
import signal
import threading
import time

import pytest
import torch

from brainct.core.names import site_names
from brainct.core.version import fingerprint
from brainct.core.weights import sha256
from brainct.errors import Refused
from brainct.run.model_file import load_model
from brainct.run.rehearse import rehearse
from tests.conftest import tiny_plan

SITES = site_names(3)
pytestmark = pytest.mark.usefixtures("small_site")


def run(folder, scheme="feddc", lines=None, sites=SITES, rounds=3, choices=(), **options):
    plan = tiny_plan(scheme, rounds=rounds, fit={"augment": {"scanner": 0.5}}, **dict(choices))
    return rehearse(plan, sites, folder, log=(lines if lines is not None else []).append, **options).content


@pytest.mark.parametrize("scheme", [pytest.param("fedavg", marks=pytest.mark.slow), "feddc"])
def test_the_model_is_bit_identical_with_one_worker_two_or_three_and_again(tmp_path, scheme):
    hashes = [
        run(tmp_path / str(number), scheme, workers=workers)["model_sha256"]
        for number, workers in enumerate((1, 1, 2, 3))
    ]
    assert len(set(hashes)) == 1


def test_another_seed_or_other_names_or_a_servers_secret_give_another_model(tmp_path):
    hashes = {
        run(tmp_path / "a", rounds=2)["model_sha256"],
        run(tmp_path / "b", rounds=2, choices={"seed": 2})["model_sha256"],
        run(tmp_path / "c", rounds=2, sites=["x", "y", "z"])["model_sha256"],
        run(tmp_path / "d", rounds=2, secret="only the server knows")["model_sha256"],
    }
    assert len(hashes) == 4


def test_the_record_says_what_was_run_on_what_and_how_it_went(tmp_path):
    run(tmp_path / "out", choices={"evaluate_every": 2}, lose=[("site-2", 1)])
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert record["scheme"] == "feddc"
    assert {**record["arguments"], "daisy_period": 1, "aggregation_period": 10} == record["arguments"]
    assert record["plan"]["network"]["architecture"] == "cnn"
    assert set(record["versions"]) >= {"flare-brainct", "torch", "monai", "numpy", "nvflare", "python", "cpu"}
    assert all(len(site["fingerprint"]) == 64 for site in record["sites"].values())
    assert {record["package"], *(site["package"] for site in record["sites"].values())} == {fingerprint()}
    assert record["sites"]["site-1"]["folds"]["train"]["scans"] == 8
    assert [row["round"] for row in record["rounds"]] == [0, 1, 2]
    assert record["rounds"][1]["lost"] == {"site-2": "lost on purpose by --lose"}
    assert set(record["rounds"][1]["metrics"]) == {"site-1", "site-3"}
    assert set(record["rounds"][1]["validation"]) <= set(SITES)
    assert set(record["test"]) == set(SITES)
    model = load_model(tmp_path / "out" / "model.safetensors")
    assert record["model_sha256"] == sha256(model)
    weights = sum(value.numel() * 4 for value in model.values())
    assert all(weights <= sent < weights + 200 for sent in record["rounds"][0]["bytes_sent"].values())
    assert all(weights <= got < weights + 2000 for got in record["rounds"][0]["bytes_received"].values())


def test_the_record_holds_no_path_of_the_site(tmp_path, small_site):
    run(tmp_path / "out", rounds=1)
    text = (tmp_path / "out" / "record.json").read_text()
    assert str(small_site.parent) not in text
    assert "site.yaml" not in text


def test_tensorboard_reads_the_scalars_of_every_round(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    record = run(tmp_path / "out")
    events = EventAccumulator(str(tmp_path / "out" / "tb_events")).Reload()
    losses = [row["metrics"]["site-1"]["loss"] for row in record["rounds"]]
    tensors = events.Tensors("loss/site-1")
    assert [event.step for event in tensors] == [0, 1, 2]
    assert [event.tensor_proto.float_val[0] for event in tensors] == pytest.approx(losses)


def test_a_lost_site_costs_one_round_and_is_named(tmp_path):
    lines = []
    record = run(tmp_path / "out", lines=lines, lose=[("site-3", 0)])
    assert "round 0: lost site-3 (lost on purpose by --lose)" in lines
    assert [sorted(row["lost"]) for row in record["rounds"]] == [["site-3"], [], []]


def test_too_many_lost_sites_end_the_run_with_the_reason_and_keep_what_was_closed(tmp_path):
    with pytest.raises(Refused, match=r"round 1 can't be closed: 1 of 3 sites replied, the quorum is 2\. site-1: lost"):
        run(tmp_path / "out", lose=[("site-1", 1), ("site-2", 1)])
    assert len(json.loads((tmp_path / "out" / "record.json").read_text())["rounds"]) == 1
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_nan_from_one_site_is_refused_and_named_and_the_round_goes_on(tmp_path, monkeypatch):
    from brainct.training.learner import TorchLearner

    real = TorchLearner.fit

    def diverge(self, weights, **asked):
        fitted = real(self, weights, **asked)
        if self.site == "site-2" and self.round == 1:
            fitted.weights["head.bias"][0] = torch.nan
        return fitted

    monkeypatch.setattr(TorchLearner, "fit", diverge)
    lines = []
    record = run(tmp_path / "out", lines=lines)
    reason = "site-2, round 1: tensor head.bias holds 1 NaN or infinite of 6 values; wanted finite numbers"
    assert record["rounds"][1]["lost"] == {"site-2": reason}
    assert f"round 1: lost site-2 ({reason})" in lines
    assert set(record["rounds"][2]["metrics"]) == set(SITES)


def test_a_site_whose_training_diverges_is_named_whatever_the_workers(tmp_path, monkeypatch):
    from dataclasses import replace

    from brainct.training.learner import TorchLearner

    real = TorchLearner.fit

    def diverge(self, weights, **asked):
        fitted = real(self, weights, **asked)
        return replace(fitted, loss=float("nan")) if (self.site, self.round) == ("site-2", 1) else fitted

    monkeypatch.setattr(TorchLearner, "fit", diverge)
    for workers in (1, 2):
        record = run(tmp_path / str(workers), workers=workers)
        assert list(record["rounds"][1]["lost"]) == ["site-2"]
        assert "metrics/loss is nan" in record["rounds"][1]["lost"]["site-2"]
        assert set(record["rounds"][2]["metrics"]) == set(record["test"]) == set(SITES)


def test_a_killed_worker_is_started_again_and_the_result_stays_bit_identical(tmp_path):
    wanted = run(tmp_path / "calm", rounds=12)["model_sha256"]
    lines, killed = [], []

    def kill_one():
        import psutil

        while not killed and time.monotonic() - began < 60:
            rows = psutil.Process().children()
            state = tmp_path / "out" / "state" / "memory.safetensors"
            if rows and state.exists():
                os.kill(rows[0].pid, signal.SIGKILL)
                killed.append(rows[0].pid)
            time.sleep(0.005)

    began = time.monotonic()
    threading.Thread(target=kill_one, daemon=True).start()
    record = run(tmp_path / "out", lines=lines, workers=2, rounds=12)
    assert killed
    assert any(f"worker process {killed[0]}" in line and "was killed by signal 9 (SIGKILL)" in line for line in lines)
    assert record["model_sha256"] == wanted
    assert all(not row["lost"] for row in record["rounds"])


def test_a_site_that_kills_its_worker_twice_is_lost_for_the_round(tmp_path, monkeypatch):
    from brainct.training.learner import TorchLearner

    real = TorchLearner.fit

    def die(self, weights, **asked):
        if self.site == "site-1" and self.round == 1:
            os._exit(3)
        return real(self, weights, **asked)

    monkeypatch.setattr(TorchLearner, "fit", die)
    record = run(tmp_path / "out", lines=[], workers=2)
    assert "ended with exit code 3, twice" in record["rounds"][1]["lost"]["site-1"]
    assert set(record["rounds"][2]["metrics"]) == set(SITES)


def test_an_unexpected_fault_of_a_site_is_named_and_costs_it_one_round(tmp_path, monkeypatch):
    from brainct.training.learner import TorchLearner

    real = TorchLearner.fit

    def fail(self, weights, **asked):
        if self.site == "site-1" and self.round == 1:
            raise RuntimeError("out of memory")
        return real(self, weights, **asked)

    monkeypatch.setattr(TorchLearner, "fit", fail)
    record = run(tmp_path / "out")
    assert record["rounds"][1]["lost"] == {"site-1": "site-1 failed: RuntimeError: out of memory"}


def test_a_run_starts_from_a_checkpoint_of_its_network_and_refuses_another(tmp_path):
    run(tmp_path / "first", rounds=1)
    model = load_model(tmp_path / "first" / "model.safetensors")
    assert run(tmp_path / "second", rounds=1, initial=model)["rounds"][0]["metrics"]
    other = {"network": {"architecture": "cnn", "size": 32, "options": {"widths": [8, 16]}}}
    with pytest.raises(Refused, match="the checkpoint, for network cnn: tensor conv2.weight has shape"):
        run(tmp_path / "third", rounds=1, initial=model, choices=other)


def test_a_folder_in_use_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(Refused, match="is in use"):
        run(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_a_quorum_that_the_sites_can_never_reach_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(Refused, match="quorum is 4, but the federation has 3 sites"):
        run(tmp_path / "out", choices={"quorum": 4})
    assert not (tmp_path / "out").exists()


def test_what_a_site_can_not_open_ends_the_run_at_the_roll_call_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINCT_SITE", str(tmp_path / "missing.yaml"))
    with pytest.raises(Refused, match="the roll call can't be closed: .*site-1: .*missing.yaml"):
        run(tmp_path / "out")

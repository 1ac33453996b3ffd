"""The numbers of a run in MLflow and in Weights & Biases, through FLARE's own receivers, by site and round."""

import json

import pytest

from tests.support.simulator import simulate, small_job

pytest.importorskip("mlflow", reason="an optional part of the installation: pip install '.[tracking]'")
pytest.importorskip("wandb", reason="an optional part of the installation: pip install '.[tracking]'")
pytestmark = [pytest.mark.slow, pytest.mark.nightly]
MLFLOW = "nvflare.app_opt.tracking.mlflow.mlflow_receiver.MLflowReceiver"
WANDB = "nvflare.app_opt.tracking.wandb.wandb_receiver.WandBReceiver"


def test_losses_and_scores_are_in_both_trackers_by_site_and_round(workspace, tmp_path, small_site, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "wandb-home"))
    (tmp_path / "wandb-home").mkdir()
    store = (tmp_path / "mlruns").as_uri()
    job = small_job(tmp_path / "jobs", "feddc", rounds=3, evaluate_every=1)
    file = job / "app" / "config" / "config_fed_server.json"
    names = {"name": "run", "project": "brainct", "group": "run", "job_type": "training"}
    receivers = [
        {"id": "mlflow", "path": MLFLOW, "args": {"tracking_uri": store, "kw_args": {"experiment_name": "brainct"}}},
        {"id": "wandb", "path": WANDB, "args": {"wandb_args": names, "mode": "offline"}},
    ]
    file.write_text(json.dumps({**json.loads(file.read_text()), "components": receivers}))
    local = workspace / "local" / "resources.json"
    allowed = json.loads(local.read_text())
    local.write_text(json.dumps({**allowed, "class_allow_list": [*allowed["class_allow_list"], MLFLOW, WANDB]}))
    code, text = simulate(job, workspace, 2)
    assert code == 0, text
    record = json.loads((workspace / "server" / "simulate_job" / "brainct" / "record.json").read_text())
    check_mlflow(store, record)
    assert list((tmp_path / "wandb-home").rglob("offline-run-*/*.wandb"))
    assert list((workspace / "server" / "simulate_job" / "brainct" / "tb_events").iterdir())


def check_mlflow(store, record):
    from mlflow.tracking.client import MlflowClient

    client = MlflowClient(store)
    (experiment,) = client.search_experiments(filter_string="name = 'brainct'")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    for site in ("site-1", "site-2"):
        (run,) = [run for name, run in runs.items() if site in name]
        known = {one.step: one.value for one in client.get_metric_history(run.info.run_id, "loss")}
        assert known == {row["round"]: row["metrics"][site]["loss"] for row in record["rounds"]}
        assert {key.partition("/")[0] for key in run.data.metrics} >= {"loss", "valid", "test"}

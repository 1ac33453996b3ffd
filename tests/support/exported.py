"""Models to export, brainct's own answers on a series, and MONAI's."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

from brainct.cli.main import main
from brainct.ct.calibration import calibrated
from brainct.ct.preprocess import render_image
from brainct.ct.read.dicom import read_series
from brainct.run.model_file import write_model
from tests.conftest import TINY, tiny_plan

CLOSE = 1e-5
DENSE = {"options": {"features": 8, "growth": 4, "blocks": [2, 2, 2, 2], "groups": 2}, "size": 32}
PATH = "monai.networks.nets"
NETWORKS = {
    "cnn": TINY,
    "densenet": DENSE,
    "volume": {**TINY, "dims": 3},
    "neighbours": {**TINY, "channels": 9},
    "class path": {"architecture": f"{PATH}.DenseNet", "size": 32, "options": {
        "init_features": 8, "growth_rate": 4, "block_config": [2, 2], "norm": ["group", {"num_groups": 2}]}},
    "vit": {"architecture": f"{PATH}.ViT", "size": 32, "options": {
        "patch_size": 16, "hidden_size": 24, "mlp_dim": 32, "num_layers": 1, "num_heads": 2, "classification": True}},
}  # fmt: skip
SCANS = {"neighbours": {"neighbours": 1}, "densenet": {"fov_mm": 180.0, "study": "noisy_or"}}


def untrained(place: Path, name: str = "cnn", **choices: object) -> Path:
    """A model file of a network with its initial weights, moved a little so that its answers differ."""
    plan = tiny_plan(**{"network": NETWORKS[name], "scan": SCANS.get(name, {}), **choices})
    weights = {key: value * 1.5 + 0.01 for key, value in plan.kind.initial(plan, 3, 0).weights.items()}
    place.mkdir(parents=True, exist_ok=True)
    write_model(place / "model.safetensors", weights, plan.model_dump(), {})
    return place


def own_answer(model, series: Path) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (N, C, ...), and (N, F) probabilities as brainct computes them."""
    network, wanted = model.choices.network, model.choices.wanted
    volume = read_series(series, "study", equal=network.dims == 3)[0]
    deep = volume.values.shape[2]
    if network.dims == 3:
        images = render_image(volume, network.size, model.windows, wanted.fov_mm)[None]
    else:
        flat = [type(volume)(volume.values[..., at], True, volume.spacing[:2]) for at in range(deep)]
        each = [render_image(one, network.size, model.windows, wanted.fov_mm) for one in flat]
        near = range(-wanted.neighbours, wanted.neighbours + 1)
        images = torch.stack([torch.cat([each[min(max(at + k, 0), deep - 1)] for k in near]) for at in range(deep)])
    with torch.inference_mode():
        logits = model.module()(images)
    found = (logits[0] if isinstance(logits, tuple) else logits).sigmoid().double().numpy()
    return images.numpy(), calibrated(found, model.calibration.temperatures(model.findings))


def run_monai(bundle: Path, series: Path) -> list[float]:
    """What `python -m monai.bundle run` writes, in a process that cannot import brainct."""
    code = (
        "import runpy, sys\nclass No:\n def find_spec(self, name, path=None, target=None):\n"
        "  if name.split('.')[0] == 'brainct': raise ImportError(name)\n"
        "sys.meta_path.insert(0, No())\nimport torch; torch.set_num_threads(1)\n"
        "runpy.run_module('monai.bundle', run_name='__main__')"
    )
    words = ["run", "--config_file", "configs/inference.json", "--meta_file", "configs/metadata.json"]
    words += ["--bundle_root", ".", "--dataset_dir", str(series)]
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=bundle, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    (row,) = list(csv.reader((bundle / "eval" / "predictions.csv").read_text().splitlines()))
    assert row[0].endswith(series.name)
    return [float(value) for value in row[1:]]


def in_process(bundle: Path, series: Path) -> list[float]:
    """The same in this process: quicker, for one network after another."""
    workflow = ConfigWorkflow(
        config_file=str(bundle / "configs" / "inference.json"), meta_file=str(bundle / "configs" / "metadata.json"),
        logging_file=False, workflow_type="infer", bundle_root=str(bundle), dataset_dir=str(series),
    )  # fmt: skip
    workflow.initialize()
    workflow.run()
    (row,) = list(csv.reader((bundle / "eval" / "predictions.csv").read_text().splitlines()))
    return [float(value) for value in row[1:]]


def export(kind: str, run: Path, out: Path, *words: str) -> Path:
    with pytest.raises(SystemExit) as ended:
        main(["model", "export", str(run), "--format", kind, "--out", str(out), *words])
    assert not ended.value.code
    return out

"""A bundle that MONAI's own tools wrote comes in, is trained by two schemes, leaves again, and MONAI alone runs it."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from monai.bundle import ConfigParser, init_bundle
from monai.networks.nets import DenseNet

from brainct.cli.main import main
from brainct.core.names import site_names
from brainct.deliver.answer import Reader
from brainct.deliver.finished_model import finished_model
from brainct.deliver.study import read_study
from brainct.job.config import plan_of
from brainct.run.model_file import read_model
from brainct.run.rehearse import rehearse
from tests.support.exported import CLOSE, export, in_process, run_monai
from tests.support.studies import write_study

NETWORK = {
    "_target_": "DenseNet", "spatial_dims": "@dims", "in_channels": 3, "out_channels": "$len(@classes)",
    "init_features": 16, "growth_rate": "$@width // 2", "block_config": [2, 2, 2], "norm": ["group", {"num_groups": 4}],
}  # fmt: skip


def made_by_monai(place: Path) -> Path:
    """The folder that init_bundle makes, its inference.json written by ConfigParser, its weights those of MONAI."""
    torch.manual_seed(4)
    norm = ("group", {"num_groups": 4})
    own = DenseNet(2, 3, 6, init_features=16, growth_rate=8, block_config=(2, 2, 2), norm=norm)
    torch.save(own.state_dict(), place.parent / "own.pt")
    init_bundle(str(place), ckpt_file=str(place.parent / "own.pt"), network=own)
    parser = ConfigParser()
    parser.read_config(str(place / "configs" / "inference.json"))
    windows = [(0, 80), (-20, 180), (-150, 230)]
    scale = [{"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": low, "a_max": high, "b_min": 0, "b_max": 1,
              "clip": True} for low, high in windows]  # fmt: skip
    parser.update({"dims": 2, "width": 16, "classes": list("abcdef"), "network_def": NETWORK})
    resize = {"_target_": "Resized", "keys": "image", "spatial_size": [32, 32]}
    parser.update({"preprocessing": {"_target_": "Compose", "transforms": [
        {"_target_": "LoadImaged", "keys": "image"}, *scale, resize]}})  # fmt: skip
    ConfigParser.export_config_file(parser.get(), str(place / "configs" / "inference.json"))
    return place


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("small_site")
def test_from_monai_through_two_schemes_to_monai_and_onnxruntime(tmp_path):
    bundle = made_by_monai(tmp_path / "made")
    with pytest.raises(SystemExit, match="0"):
        main(["model", "import", str(bundle), "--out", str(tmp_path / "in")])
    section = json.loads((tmp_path / "in" / "network.json").read_text())
    start = read_model(tmp_path / "in" / "model.safetensors").weights
    own = torch.load(bundle / "models" / "model.pt", weights_only=True)
    assert all(torch.equal(start[key], own[key]) for key in own)
    series, largest = write_study(tmp_path / "series"), 0.0
    for scheme in ("fedavg", "feddc"):
        fit = {"optimizer": "sgd", "rate": 0.05, "augment": None}
        plan = plan_of({"scheme": scheme, "rounds": 2, "fit": fit, **section}, "the test")
        rehearse(plan, site_names(2), tmp_path / scheme, initial=start, log=lambda line: None)
        model = finished_model(tmp_path / scheme)
        assert any(not torch.equal(model.weights[key], own[key]) for key in own)
        reader = Reader(model)
        study = read_study(series, model)
        answer = reader.answer(study)
        out = export("bundle", tmp_path / scheme, tmp_path / f"{scheme}-bundle")
        found = run_monai(out, series) if scheme == "fedavg" else in_process(out, series)
        onnx = export("onnx", tmp_path / scheme, tmp_path / f"{scheme}-onnx") / "model.onnx"
        ran = onnxruntime.InferenceSession(onnx).run(["probabilities"], {"images": study.images.numpy()})[0]
        apart = np.abs(np.array(found) - answer.probabilities).max(), np.abs(ran - answer.each).max()
        print(f"{scheme}: MONAI {apart[0]:.2e}, onnxruntime {apart[1]:.2e}")
        largest = max(largest, *apart)
        with pytest.raises(SystemExit, match="0"):
            main(["model", "import", str(out), "--out", str(tmp_path / f"{scheme}-in")])
        assert finished_model(tmp_path / f"{scheme}-in").sha256 == model.sha256
    assert largest < CLOSE

"""A trained model leaves as bundle, ONNX and .pt2, and gives brainct's probabilities where brainct is not asked."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pydicom
import pytest
import torch
from monai.bundle import ConfigWorkflow
from PIL import Image

from brainct.cli.main import main
from brainct.ct.calibration import Calibration, OfFinding, calibrated, write_calibration
from brainct.ct.studies import pooled
from brainct.deliver.bundle_config import inference
from brainct.deliver.finished_model import finished_model
from brainct.deliver.reimport import exported_here
from brainct.errors import Refused
from brainct.job.config import plan_of
from brainct.run.model_file import write_model
from tests.conftest import tiny_plan
from tests.support.exported import CLOSE, NETWORKS, export, in_process, own_answer, run_monai, untrained
from tests.support.studies import write_study


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NETWORKS)
def test_monai_alone_gives_the_same_answer_for_a_dicom_study(tmp_path, name):
    run = untrained(tmp_path / "run", name)
    series = write_study(tmp_path / "series")
    bundle = export("bundle", run, tmp_path / "out")
    model = finished_model(run)
    found = own_answer(model, series)[1]
    own = found[0] if name == "volume" else pooled(found, np.zeros(len(found), np.int64), model.pooling)[0]
    assert np.ptp(own) > 1e-3
    assert np.abs(np.array(in_process(bundle, series)) - own).max() < CLOSE


@pytest.mark.slow
def test_the_bundles_own_command_runs_where_brainct_cannot_be_imported(tmp_path):
    run = untrained(tmp_path / "run")
    series = write_study(tmp_path / "series")
    bundle = export("bundle", run, tmp_path / "out")
    own = own_answer(finished_model(run), series)[1].max(0)
    assert np.abs(np.array(run_monai(bundle, series)) - own).max() < CLOSE


def by_hand(series: Path, size: int, windows) -> np.ndarray:
    """A series as metadata.json describes the input, by pydicom, numpy and Pillow alone."""
    headers = sorted((pydicom.dcmread(one) for one in series.iterdir()), key=lambda one: one.ImagePositionPatient[2])
    slices = []
    for header in headers:
        hu = header.pixel_array.astype(np.float32) * header.RescaleSlope + header.RescaleIntercept
        scale = size / max(hu.shape)
        height, width = (round(length * scale) for length in hu.shape)
        small = np.asarray(Image.fromarray(hu).resize((width, height), Image.Resampling.BILINEAR))
        whole = np.full((size, size), -1000, np.float32)
        whole[(size - height) // 2 :, (size - width) // 2 :][:height, :width] = small
        slices.append([np.clip((whole - (level - width_ / 2)) / width_, 0, 1) for level, width_ in windows])
    return np.array(slices, np.float32)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_onnxruntime_alone_and_a_pt2_give_the_same_probabilities_for_a_dicom_series(tmp_path):
    run = untrained(tmp_path / "run", "densenet", scan={})
    names = {"any": OfFinding(temperature=1.7, threshold=0.3)}
    write_calibration(run / "calibration.json", Calibration(model_sha256=finished_model(run).sha256, findings=names))
    series = write_study(tmp_path / "series")
    model = finished_model(run)
    images, own = own_answer(model, series)
    session = onnxruntime.InferenceSession(export("onnx", run, tmp_path / "onnx") / "model.onnx")
    stated = json.loads(session.get_modelmeta().custom_metadata_map["brainct"])
    assert stated == json.loads((tmp_path / "onnx" / "metadata.json").read_text())
    steps = stated["brainct"]["preprocessing"]
    again = by_hand(series, steps["size"], steps["windows"])
    found = session.run(["probabilities"], {"images": again})[0]
    assert np.abs(found - own).max() < CLOSE
    assert np.abs(own[:, 5] - 1 / (1 + np.exp(-session.run(["logits"], {"images": images})[0][:, 5]))).max() > 1e-3
    alone = session.run(["probabilities"], {"images": again[:1]})[0]
    assert np.abs(alone - own[:1]).max() < CLOSE
    program = torch.export.load(export("torch", run, tmp_path / "torch") / "model.pt2").module()
    assert np.abs(program(torch.from_numpy(images))[1].detach().numpy() - own).max() < CLOSE
    onnx.checker.check_model(onnx.load(tmp_path / "onnx" / "model.onnx"))


@pytest.mark.parametrize("name", ["cnn", "densenet", "vit"])
def test_an_exported_bundle_comes_in_again_with_the_same_hash_and_choices(tmp_path, name):
    run = untrained(tmp_path / "run", name)
    bundle = export("bundle", run, tmp_path / "out")
    with pytest.raises(SystemExit, match="0"):
        main(["model", "import", str(bundle), "--out", str(tmp_path / "in")])
    model, again = finished_model(run), finished_model(tmp_path / "in")
    assert again.sha256 == model.sha256
    section = json.loads((tmp_path / "in" / "network.json").read_text())
    plan = plan_of({"scheme": "feddc", **section}, "job")
    assert (plan.network, plan.scan, plan.findings) == (model.plan.network, model.plan.scan, model.plan.findings)


def test_an_export_whose_metadata_or_weights_were_changed_is_refused(tmp_path):
    bundle = export("bundle", untrained(tmp_path / "run"), tmp_path / "out")
    file = bundle / "configs" / "metadata.json"
    stated = json.loads(file.read_text())
    for change, words in (({"architecture": "os.system"}, "os.system can't be used"), ({"size": 7}, "size")):
        choices = stated["brainct"]["choices"]
        bad = {**stated, "brainct": {"choices": {**choices, "network": {**choices["network"], **change}}}}
        file.write_text(json.dumps(bad))
        with pytest.raises(Refused, match=words):
            exported_here(bundle)
    file.write_text(json.dumps(stated))
    torch.save({"w": torch.zeros(2)}, bundle / "models" / "model.pt")
    with pytest.raises(Refused, match=r"model.pt is not of the network that metadata.json names"):
        exported_here(bundle)


def test_metadata_states_all_that_a_user_needs_and_no_site(tmp_path):
    run = untrained(tmp_path / "run", findings=["stroke", "any"])
    export("bundle", run, tmp_path / "out")
    stated = json.loads((tmp_path / "out" / "configs" / "metadata.json").read_text())
    own = stated["brainct"]
    assert stated["network_data_format"]["outputs"]["pred"]["channel_def"] == {"0": "stroke", "1": "any"}
    assert own["findings"] == ["stroke", "any"]
    assert own["preprocessing"]["windows"] == [[40, 80], [80, 200], [40, 380]]
    assert own["model_sha256"] == finished_model(run).sha256
    assert "medical device" in stated["intended_use"]
    assert "No licence is granted" in (tmp_path / "out" / "LICENSE").read_text()


@pytest.mark.filterwarnings("ignore")
def test_monais_own_check_of_a_bundle_finds_nothing_missing(tmp_path):
    run = untrained(tmp_path / "run")
    export("bundle", run, tmp_path / "out")
    configs = tmp_path / "out" / "configs"
    workflow = ConfigWorkflow(
        config_file=str(configs / "inference.json"), meta_file=str(configs / "metadata.json"), logging_file=False,
        workflow_type="infer", bundle_root=str(tmp_path / "out"),
    )  # fmt: skip
    workflow.initialize()
    assert not workflow.check_properties()


def test_what_no_bundle_can_state_is_refused_with_what_to_do(tmp_path):
    fourier = {"architecture": "cnn-fourier", "size": 32, "options": {"widths": [8, 8]}}
    plan = tiny_plan(network=fourier)
    write_model(tmp_path / "model.safetensors", plan.kind.initial(plan, 0, 0).weights, plan.model_dump(), {})
    with pytest.raises(Refused, match="not made of layers of torch and MONAI alone; export it as onnx or torch"):
        inference(finished_model(tmp_path))


def test_a_model_that_adapts_to_a_site_and_one_that_is_untrained_are_refused(tmp_path):
    plan = tiny_plan("sitenorm")
    write_model(
        tmp_path / "a.safetensors", plan.kind.initial(plan, 0, 0).weights, plan.model_dump(), {"statistics": [1]}
    )
    from brainct.deliver.bundle import write_bundle

    with pytest.raises(Refused, match="first adapts each site's scans to statistics"):
        write_bundle(finished_model(tmp_path / "a.safetensors"), tmp_path / "out")
    plan = tiny_plan("local")
    write_model(tmp_path / "b.safetensors", plan.kind.initial(plan, 0, 0).weights, plan.model_dump(), {})
    with pytest.raises(Refused, match="the model is untrained"):
        finished_model(tmp_path / "b.safetensors")


def test_a_calibration_of_another_model_or_of_unknown_findings_is_refused(tmp_path):
    run = untrained(tmp_path / "run")
    write_calibration(tmp_path / "c.json", Calibration(model_sha256="0" * 64))
    with pytest.raises(Refused, match="the calibration is of model 000000000000, not of this one"):
        finished_model(run, tmp_path / "c.json")
    write_calibration(tmp_path / "c.json", Calibration(findings={"stroke": OfFinding()}))
    with pytest.raises(Refused, match="the calibration names stroke"):
        finished_model(run, tmp_path / "c.json")


def test_calibrated_probabilities_are_those_of_the_divided_logits():
    logits = np.array([[2.0, -3.0], [0.5, 1.0]])
    wanted = 1 / (1 + np.exp(-logits / [2.0, 0.5]))
    assert np.allclose(calibrated(1 / (1 + np.exp(-logits)), [2.0, 0.5]), wanted, atol=1e-12)
    soft = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    cool = np.exp(logits / 2) / np.exp(logits / 2).sum(1, keepdims=True)
    assert np.allclose(calibrated(soft, [2.0, 2.0], True), cool, atol=1e-12)

"""The site's own model file: the delivered one is untouched, predictions are those of logits over temperature."""

import csv
import hashlib
import json

import pytest
import torch
from safetensors import safe_open

from brainct.adapt.site_model import adapt, write
from brainct.cli import main
from brainct.core.names import site_names
from brainct.ct.calibration import ADAPTED
from brainct.ct.site_choices import PhantomChoices, Split
from brainct.ct.site_config import SiteFile
from brainct.deliver.finished_model import check_static, finished_model
from brainct.errors import Refused
from brainct.run import start_model
from brainct.run.model_file import read_model, write_model
from brainct.run.rehearse import rehearse
from tests.conftest import tiny_plan

BN = {
    "architecture": "monai.networks.nets.DenseNet",
    "size": 32,
    "options": {"init_features": 8, "growth_rate": 4, "block_config": [2, 2], "bn_size": 2, "batch_norm": "silo"},
}
SITE = SiteFile(
    kind="phantom",
    phantom=PhantomChoices(scans=48, prevalence=0.5),
    split=Split(train=0.25, valid=0.5, test=0.25),
    device="cpu",
)


def file_of(tmp_path, **choices):
    plan = tiny_plan("fedavg", **choices)
    weights = plan.kind.initial(plan, 1, 1).weights
    write_model(tmp_path / "model.safetensors", weights, plan.model_dump(), {})
    return tmp_path / "model.safetensors"


def fitted(file, **steps):
    return adapt(read_model(file), SITE, "site-1", **({"calibrate": False, "statistics": False, "head": 0} | steps))


def test_the_command_leaves_the_delivered_file_and_predict_takes_the_sites_own(capsys, tmp_path):
    file, own = file_of(tmp_path), tmp_path / "own.safetensors"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    site = "kind: phantom\nphantom: {scans: 48, prevalence: 0.5}\nsplit: {train: 0.25, valid: 0.5, test: 0.25}\n"
    (tmp_path / "site.yaml").write_text(site)
    code, said = typed(capsys, "model", "adapt", file, "--site-file", tmp_path / "site.yaml", "--out", own)
    assert code == 0, said
    assert "any: temperature" in said
    assert "calibration error on fold test, any:" in said
    assert hashlib.sha256(file.read_bytes()).hexdigest() == digest
    with safe_open(own, framework="pt") as opened:
        note = json.loads(opened.metadata()["extra"])[ADAPTED]["calibration"]["any"]
    tables = []
    for model in (file, own):
        out = tmp_path / f"{model.stem}.csv"
        assert typed(capsys, "predict", model, "--site-file", tmp_path / "site.yaml", "--out", out)[0] == 0
        tables.append([float(row["any"]) for row in csv.DictReader(out.read_text().splitlines())])
    before, after = map(torch.tensor, tables)
    assert torch.allclose(torch.sigmoid(torch.logit(before) / note["temperature"]), after, atol=2e-5)
    assert not torch.allclose(before, after, atol=1e-3)


def typed(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main.main([str(word) for word in words])
    printed = capsys.readouterr()
    return ended.value.code or 0, printed.out + printed.err


def test_what_reads_the_sites_own_model_has_its_thresholds_and_no_second_temperature(tmp_path):
    file, own = file_of(tmp_path), tmp_path / "own.safetensors"
    found = fitted(file, calibrate=True)
    write(own, read_model(file), found)
    read = finished_model(own)
    assert set(read.calibration.temperatures(read.findings)) == {1.0}
    assert read.calibration.thresholds(read.findings) == [found.calibration[name].threshold for name in read.findings]
    assert finished_model(file).calibration.thresholds(read.findings) == [0.5] * len(read.findings)
    check_static(read)


def test_the_local_head_moves_the_last_layer_alone(tmp_path):
    file = file_of(tmp_path)
    before, after = read_model(file).weights, fitted(file, head=2).weights
    assert {key for key in before if not torch.equal(before[key], after[key])} == {"head.weight", "head.bias"}


def test_statistics_come_from_the_scans_without_their_labels_and_change_nothing_else(tmp_path):
    file = file_of(tmp_path, network=BN)
    before, after = read_model(file).weights, fitted(file, statistics=True).weights
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert moved == {key for key in before if key.endswith(("running_mean", "running_var"))}
    with pytest.raises(Refused, match="has no BatchNorm"):
        fitted(file_of(tmp_path), statistics=True)


def test_the_measured_statistics_are_those_that_torch_gathers(tmp_path):
    from torch.optim.swa_utils import update_bn

    from brainct.training.batch_norm import measure_statistics, without_batch_statistics

    torch.manual_seed(0)
    conv, norm = torch.nn.Conv2d, torch.nn.BatchNorm2d
    plain = torch.nn.Sequential(conv(3, 4, 3), norm(4), torch.nn.ReLU(), conv(4, 4, 3), norm(4))
    for part in plain:
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_var.mul_(3.0)
    twin = torch.nn.Sequential(*plain)
    import copy

    ours, inputs = without_batch_statistics(copy.deepcopy(twin), "silo", "x"), torch.randn(64, 3, 12, 12)
    measure_statistics(ours, inputs)
    update_bn([inputs], plain)
    for key, value in ours.state_dict().items():
        assert torch.allclose(value, plain.state_dict()[key], rtol=2e-4, atol=1e-5), key


def test_a_job_can_start_from_a_sites_own_model(tmp_path):
    file = file_of(tmp_path)
    write(tmp_path / "own.safetensors", read_model(file), fitted(file, calibrate=True))
    start, where = start_model.named(str(tmp_path / "own.safetensors"), tiny_plan("fedavg"))
    found = start_model.start_of(tiny_plan("fedavg", start_from=start), where)
    assert found.started.head == "kept"
    assert found.started.lineage[0].source.startswith("the delivered model, adapted: temperature")


@pytest.mark.usefixtures("small_site")
@pytest.mark.parametrize("scheme", ["fedavg", "feddc", "swa"])
def test_a_scheme_with_which_statistics_would_travel_is_refused_by_name(tmp_path, scheme):
    with pytest.raises(Refused, match=f"{scheme} can't treat .*belong to each site.*fedbn, silobn or local"):
        rehearse(tiny_plan(scheme, rounds=1, network=BN), site_names(2), tmp_path / "out", log=print)


@pytest.mark.usefixtures("small_site")
@pytest.mark.parametrize("scheme", ["silobn", "fedbn"])
def test_under_silo_no_statistic_leaves_and_each_site_has_its_own(tmp_path, scheme):
    plan = tiny_plan(scheme, rounds=2, network=BN)
    rehearse(plan, site_names(2), tmp_path / "out", log=print)
    delivered, seeded = (
        read_model(tmp_path / "out" / "model.safetensors").weights,
        plan.kind.initial(plan, 1, 1).weights,
    )
    own = [key for key in delivered if key.endswith(("running_mean", "running_var"))]
    assert own
    assert all(torch.equal(delivered[key], seeded[key]) for key in own)

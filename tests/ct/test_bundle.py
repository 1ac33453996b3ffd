"""MONAI bundles come in as data: what MONAI's own tools write is read, and nothing of a hostile one is run."""

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
import yaml
from monai.bundle import init_bundle
from monai.networks.nets import DenseNet
from safetensors.torch import save_file

from brainct.cli.main import main
from brainct.ct.bundle.expressions import compute
from brainct.ct.bundle.importer import import_bundle
from brainct.ct.model import network_of
from brainct.errors import Refused
from brainct.job.config import plan_of
from brainct.run.model_file import read_model
from tests.conftest import ROOT

NETS = "monai.networks.nets"
NETWORK = {
    "_target_": "DenseNet",
    "spatial_dims": 2,
    "in_channels": "@channels",
    "out_channels": "$len(@class_names)",
    "init_features": "$@width * 2",
    "growth_rate": "@width",
    "block_config": [2, 2],
    "norm": ["group", {"num_groups": 4}],
}
TRANSFORMS = [
    {"_target_": "LoadImaged", "keys": "image"},
    {"_target_": "EnsureChannelFirstd", "keys": "image"},
    {
        "_target_": "ScaleIntensityRanged",
        "keys": "image",
        "a_min": 0,
        "a_max": 80,
        "b_min": 0,
        "b_max": 1,
        "clip": True,
    },
    {"_target_": "Resized", "keys": "image", "spatial_size": "$[@size] * 2"},
    {"_target_": "RandFlipd", "keys": "image", "prob": 0.5},
    {"_target_": "HistogramNormalized", "keys": "image"},
]
TRAIN = {
    "imports": ["$import os"],
    "channels": 1,
    "width": 8,
    "size": 32,
    "class_names": ["any", "epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural"],
    "device": "$torch.device('cuda:0')",
    "network_def": NETWORK,
    "network": "$@network_def.to(@device)",
    "preprocessing": {"_target_": "Compose", "transforms": TRANSFORMS},
}


def bundle(place, config=TRAIN, name="train.json", weights=None, file="model.pt"):
    (place / "configs").mkdir(parents=True)
    (place / "configs" / name).write_text(yaml.safe_dump(config) if name.endswith("yaml") else json.dumps(config))
    if weights is not None:
        (place / "models").mkdir()
        save = save_file if file.endswith("safetensors") else torch.save
        save(weights, place / "models" / file)
    return place


def densenet(outputs=6):
    norm = ("group", {"num_groups": 4})
    options = {"init_features": 16, "growth_rate": 8, "block_config": (2, 2), "norm": norm}
    return DenseNet(spatial_dims=2, in_channels=1, out_channels=outputs, **options)


def changed(**changes):
    return {**TRAIN, "network_def": {**NETWORK, **changes}}


@pytest.mark.parametrize("name", ["train.json", "inference.yaml"])
@pytest.mark.parametrize("file", ["model.pt", "model.safetensors"])
def test_network_preprocessing_and_weights_come_in_and_give_the_bundles_own_outputs(tmp_path, name, file):
    own = densenet().eval()
    found = import_bundle(bundle(tmp_path / "one", name=name, weights=own.state_dict(), file=file))
    network = found.network
    assert (network.architecture, network.channels, network.size) == (f"{NETS}.DenseNet", 1, 32)
    assert found.preprocessing.windows == [(40.0, 80.0)]
    module = network_of(network, 5)
    module.load_state_dict(found.weights)
    inputs = torch.rand(2, 1, 32, 32)
    assert torch.equal(module.eval()(inputs), own(inputs))
    text = "\n".join(found.mapped + found.dropped)
    for words in ("LoadImaged: the site reads", "RandFlipd: augmentation", "HistogramNormalized: has no counterpart"):
        assert words in text


def test_a_bundle_that_monai_makes_itself_comes_in(tmp_path):
    own = densenet()
    torch.save(own.state_dict(), tmp_path / "own.pt")
    init_bundle(str(tmp_path / "made"), ckpt_file=str(tmp_path / "own.pt"), network=own)
    inference = json.loads((tmp_path / "made" / "configs" / "inference.json").read_text())
    assert "network_def" in inference  # written by MONAI, with a UNet as its example
    (tmp_path / "made" / "configs" / "inference.json").write_text(json.dumps({**inference, **changed()}))
    found = import_bundle(tmp_path / "made")
    assert all(torch.equal(found.weights[key], value) for key, value in own.state_dict().items())


def test_a_head_for_other_findings_is_trained_anew_and_said(tmp_path):
    found = import_bundle(bundle(tmp_path / "one", changed(out_channels=14), weights=densenet(14).state_dict()))
    text = "\n".join(found.dropped)
    assert "outputs: 14 in the bundle, 6 findings here; the head is trained anew" in text
    assert "2 tensors of another shape than here are trained anew, such as class_layers.out.weight" in text


def test_the_command_writes_a_network_section_and_a_start_model_of_it(tmp_path, capsys):
    made = bundle(tmp_path / "one", weights={f"module.{key}": one for key, one in densenet().state_dict().items()})
    with pytest.raises(SystemExit, match="0"):
        main(["model", "import", str(made), "--out", str(tmp_path / "out")])
    section = json.loads((tmp_path / "out" / "network.json").read_text())
    plan = plan_of({"scheme": "feddc", **section}, "job")
    start = read_model(tmp_path / "out" / "model.safetensors")
    plan.kind.fits(start.weights, plan)
    assert start.plan().network == plan.network
    printed = capsys.readouterr().out
    assert "windows: [[40, 80]]" in printed
    assert "left out preprocessing" not in printed


class Attack:
    def __reduce__(self):
        return os.system, ("touch attacked",)


HOSTILE = {
    "eval": (changed(in_channels="$__import__('os').system('touch attacked')"), "Call is not part of the grammar"),
    "import": ({**TRAIN, "network_def": "$__import__('scripts.net')"}, "network_def is the expression"),
    "attribute": (changed(in_channels="$[].__class__.__base__"), "Attribute is not part of the grammar"),
    "comprehension": (changed(block_config="$[x for x in range(9)]"), "ListComp is not part of the grammar"),
    "lambda": (changed(growth_rate="$(lambda: 8)()"), "Call is not part of the grammar"),
    "own code": (changed(_target_="scripts.net.Net"), "network scripts.net.Net: wanted a network of"),
    "system": (changed(_target_="os.system"), "network os.system: wanted a network of"),
    "hub": (changed(_target_="torch.hub.load"), "network torch.hub.load: wanted a network of"),
    "object": (
        changed(norm={"_target_": "subprocess.run", "args": ["touch"]}),
        "argument norm is an object of subprocess.run",
    ),
    "huge list": (changed(block_config="$[2] * 100000000"), "wanted at most 10000"),
    "huge number": (changed(growth_rate="$99999 * 99999 * 99999"), "a number beyond 1,000,000,000"),
    "huge network": (changed(growth_rate="$10000 * 1000"), "wanted a number of at most 4096"),
    "circle": ({**changed(growth_rate="@a"), "a": "@b", "b": "$@a + 1"}, "refer to each other without end"),
    "nothing": (changed(growth_rate="@not_there"), "refers to nothing"),
    "other file": (changed(growth_rate="%../../../secret.json::key"), "is not a file of the bundle's configs folder"),
}


@pytest.mark.parametrize(("config", "words"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_configuration_is_refused_and_nothing_runs(tmp_path, monkeypatch, config, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.json").write_text('{"key": 8}')
    with pytest.raises(Refused, match=words.replace("(", r"\(")):
        import_bundle(bundle(tmp_path / "one" / "two", config))
    assert not (tmp_path / "attacked").exists()


def test_the_page_shows_each_hostile_bundles_line():
    page = (ROOT / "docs" / "models_in_and_out.md").read_text()
    assert len(HOSTILE) >= 12
    assert [words for _, words in HOSTILE.values() if words not in page] == []


def test_a_circle_of_expressions_is_told_in_one_line(tmp_path):
    with pytest.raises(Refused) as refusal:
        import_bundle(bundle(tmp_path, HOSTILE["circle"][0]))
    assert len(str(refusal.value)) < 200


def test_weights_that_are_more_than_tensors_are_not_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = bundle(tmp_path / "one", weights={"model": Attack()})
    with pytest.raises(Refused, match=r"model.pt holds more than tensors \(UnpicklingError\)"):
        import_bundle(made)
    (made / "models" / "model.pt").write_bytes(pickle.dumps(Attack()))
    with pytest.raises(Refused, match=r"model.pt"):
        import_bundle(made)
    assert not (tmp_path / "attacked").exists()


def test_weights_of_another_network_or_not_finite_are_refused(tmp_path):
    with pytest.raises(Refused, match="none of its 1 tensors is of the network"):
        import_bundle(bundle(tmp_path / "one", weights={"other": torch.zeros(2)}))
    broken = {key: torch.full_like(one, torch.nan) for key, one in densenet().state_dict().items()}
    with pytest.raises(Refused, match="holds values that are not finite"):
        import_bundle(bundle(tmp_path / "two", weights=broken))


def test_aliases_of_yaml_that_grow_without_end_are_refused(tmp_path):
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9)}]" for at in range(1, 9)]
    lines += ["network_def: {_target_: DenseNet, spatial_dims: 2, block_config: '@a8'}"]
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "train.yaml").write_text("\n".join(lines))
    with pytest.raises(Refused, match="too many of them"):
        import_bundle(tmp_path)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1 + 2 * 3", 7),
        ("[1, 2] + [@a]", [1, 2, 4]),
        ("(@a,) * 3", [4, 4, 4]),
        ("int(@a / 3)", 1),
        ("@a // 3", 1),
        ("-@a % 3", 2),
        ("{'x': @a}['x']", 4),
        ("max(@a, 9) - min(@a, 9)", 5),
        ("len('abc')", 3),
        ("list(range(3))", [0, 1, 2]),
        ("None", None),
    ],
)
def test_the_grammar_computes_as_python_does(text, wanted):
    assert compute(text, {"a": 4}.__getitem__) == wanted


def test_a_folder_that_is_no_bundle_is_refused_by_what_it_lacks(tmp_path):
    with pytest.raises(Refused, match="wanted a MONAI bundle with configs/train.json"):
        import_bundle(tmp_path)
    with pytest.raises(Refused, match="is not a folder"):
        import_bundle(Path(tmp_path / "none"))

"""An MMAR of Clara Train comes in as data: its model, its transforms, its weights."""

import json

import pytest
import torch
from monai.networks.nets import DenseNet

from brainct.ct.bundle.importer import import_bundle
from brainct.ct.model import network_of
from brainct.errors import Refused

ARGS = {
    "spatial_dims": 2, "in_channels": 1, "out_channels": 6, "init_features": 16, "growth_rate": 8,
    "block_config": [2, 2], "norm": ["group", {"num_groups": 4}],
}  # fmt: skip
WINDOW = {"fields": "image", "a_min": 0, "a_max": 80, "b_min": 0, "b_max": 1, "clip": True}
TRANSFORMS = [
    {"name": "LoadNifti", "args": {"fields": "image"}},
    {"name": "ConvertToChannelsFirst", "args": {"fields": "image"}},
    {"name": "ScaleIntensityRange", "args": WINDOW},
    {"name": "Resized", "args": {"keys": "image", "spatial_size": [32, 32]}},
    {"name": "RandFlipd", "args": {"keys": "image", "prob": 0.5}},
    {"path": "custom.MyTransform", "args": {}},
]


def archive(place, model):
    """The folders of an MMAR: config, commands, models."""
    for name in ("config", "commands", "models", "resources", "docs", "eval"):
        (place / name).mkdir(parents=True)
    train = {"loss": {"name": "BCEWithLogitsLoss"}, "model": model, "pre_transforms": TRANSFORMS}
    config = {"epochs": 10, "learning_rate": 1e-4, "multi_gpu": False, "train": train}
    (place / "config" / "config_train.json").write_text(json.dumps(config))
    (place / "commands" / "train.sh").write_text("touch attacked")
    return place


@pytest.mark.parametrize("named", [{"name": "DenseNet"}, {"path": "monai.networks.nets.densenet.DenseNet"}])
def test_model_transforms_and_weights_of_an_mmar_come_in(tmp_path, named):
    own = DenseNet(**{**ARGS, "norm": ("group", {"num_groups": 4})}).eval()
    place = archive(tmp_path / "mmar", {**named, "args": ARGS})
    torch.save({"model": own.state_dict(), "epoch": 3}, place / "models" / "model.pt")
    found = import_bundle(place)
    assert (found.network.architecture, found.network.size) == ("monai.networks.nets.DenseNet", 32)
    assert found.preprocessing.windows == [(40.0, 80.0)]
    module = network_of(found.network, 1)
    module.load_state_dict(found.weights)
    inputs = torch.rand(1, 1, 32, 32)
    assert torch.equal(module.eval()(inputs), own(inputs))
    assert "custom.MyTransform: has no counterpart here" in found.dropped
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"path": "custom_model.Net", "args": {}}, "network custom_model.Net: wanted a network of monai.networks.nets"),
        ({"name": "SegAhnet", "args": {"num_classes": 2}}, "has no SegAhnet"),
        ("SegAhnet", "no train/model with a name and args"),
    ],
)
def test_a_network_of_ones_own_or_of_clara_alone_is_refused_by_name(tmp_path, model, words):
    with pytest.raises(Refused, match=words):
        import_bundle(archive(tmp_path / "mmar", model))

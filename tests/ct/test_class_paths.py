"""Networks named by class path: MONAI's own, nothing else, and BatchNorm under each rule."""

import pytest
import torch
from torch import nn

from brainct.ct import class_paths
from brainct.ct.config import Network
from brainct.ct.model import network_of
from brainct.errors import Refused
from brainct.job.config import plan_of
from brainct.training.batch_norm import FrozenBatchNorm, moved, without_batch_statistics

NETS = "monai.networks.nets"


def build(path, dims, seed, **options):
    return network_of(Network(architecture=path, size=32, dims=dims, options=options), seed)


SMALL = {"init_features": 8, "growth_rate": 4, "block_config": [2, 2], "norm": ["group", {"num_groups": 4}]}


@pytest.mark.parametrize(
    ("path", "dims", "options"),
    [
        ("DenseNet", 2, SMALL),
        ("DenseNet", 3, SMALL),
        ("EfficientNetBN", 2, {"model_name": "efficientnet-b0", "norm": ["group", {"num_groups": 8}]}),
        ("SEResNet50", 2, {"layers": [1, 1, 1, 1], "batch_norm": "group"}),
        ("resnet10", 2, {"batch_norm": "frozen"}),
        ("Classifier", 2, {"channels": [4, 8], "strides": [2, 2]}),
    ],
)
def test_a_network_of_monai_gives_one_logit_a_finding_and_the_same_weights_for_a_seed(path, dims, options):
    one, again, other = (build(f"{NETS}.{path}", dims, seed, **options) for seed in (1, 1, 2))
    inputs = torch.rand(2, 3, *(32,) * dims)
    assert one.eval()(inputs).shape == (2, 6)
    weights = [network.state_dict() for network in (one, again, other)]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert any(not torch.equal(weights[0][key], weights[2][key]) for key in weights[0])


@pytest.mark.parametrize(
    ("path", "options", "words"),
    [
        ("os.system", {}, "os.system can't be used; wanted a class of monai.networks.nets"),
        ("torch.hub.load", {}, "can't be used"),
        (f"{NETS}.densenet.os.system", {}, "can't be used"),
        (f"{NETS}._private", {}, "can't be used"),
        (f"{NETS}.NoSuchNet", {}, "has no NoSuchNet"),
        (f"{NETS}.densenet", {}, "is not a network of"),
        (f"{NETS}.DenseNet121", {}, "BatchNorm layers"),
        (f"{NETS}.DenseNet121", {"pretrained": True}, "option pretrained follows from the job's"),
        (f"{NETS}.DenseNet121", {"in_channels": 1}, "option in_channels follows"),
        (f"{NETS}.DenseNet", {**SMALL, "growth_rate": 10**9}, "wanted a number of at most 4096"),
        (f"{NETS}.DenseNet", {**SMALL, "block_config": {"a": {"b": [10**9]}}}, "wanted a number of at most 4096"),
        (f"{NETS}.DenseNet", {"no_such": 1}, "can't be built from these options: TypeError"),
        (f"{NETS}.SegResNet", {}, "wanted \\(1, 6\\), one logit for each finding"),
        (f"{NETS}.DenseNet", {**SMALL, "batch_norm": "keep"}, "batch_norm is 'keep'; wanted refuse, group, frozen"),
        (f"{NETS}.AutoencoderKL", {}, "no parameter|can't be built|can't read|gives"),
    ],
)
def test_anything_else_is_refused_by_its_path(path, options, words):
    with pytest.raises(Refused, match=words):
        class_paths.build(path, 3, 32, 2, 1, outputs=6, options=options)


def test_a_job_names_a_class_path_and_a_wrong_one_is_refused_before_anything_is_imported():
    plan = plan_of({"scheme": "fedavg", "network": {"architecture": f"{NETS}.DenseNet", "options": SMALL}}, "job")
    assert plan.network.architecture == f"{NETS}.DenseNet"
    with pytest.raises(Refused, match="subprocess.Popen can't be used"):
        plan_of({"scheme": "fedavg", "network": {"architecture": "subprocess.Popen"}}, "job")


def trained():
    """A network whose BatchNorm has statistics of its own."""
    torch.manual_seed(3)
    network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 2))
    network.train()
    for _ in range(20):
        network(torch.randn(16, 3, 8, 8) * 3 + 2)
    return network.eval()


def test_frozen_statistics_give_the_outputs_of_batchnorm_in_evaluation_and_stay_in_training():
    network, inputs = trained(), torch.randn(4, 3, 8, 8)
    wanted, weights = network(inputs), network.state_dict()
    changed = without_batch_statistics(trained(), "frozen", "net")
    assert isinstance(changed[1], FrozenBatchNorm)
    assert torch.allclose(changed(inputs), wanted, atol=1e-5)
    assert torch.equal(changed.train()(inputs), changed.eval()(inputs))
    assert {key for key in weights if "tracked" not in key} == set(changed.state_dict())


def test_groups_divide_the_channels_and_how_far_the_outputs_move_is_told():
    changed = without_batch_statistics(trained(), "group", "net")
    assert isinstance(changed[1], nn.GroupNorm)
    assert changed[1].num_groups == 6
    assert moved(trained(), changed, torch.randn(4, 3, 8, 8)) > 0.1
    assert moved(trained(), without_batch_statistics(trained(), "frozen", "net"), torch.randn(4, 3, 8, 8)) < 1e-4

"""The networks: shapes, sizes, seeds, refusals, and the loss over what is labelled."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from brainct.ct import networks
from brainct.ct.folds import FINDINGS
from brainct.ct.networks import NETWORKS, Fourier, Network, build
from brainct.errors import Refused
from brainct.training.losses import masked_bce
from brainct.training.networks import parameters_of, without_batchnorm


def smallest(name: str) -> int:
    return NETWORKS[name].smallest(NETWORKS[name].options())


def same(a: nn.Module, b: nn.Module) -> bool:
    mine, yours = a.state_dict(), b.state_dict()
    return mine.keys() == yours.keys() and all(torch.equal(mine[key], yours[key]) for key in mine)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_smallest_input_gives_six_finite_logits_and_a_gradient_for_every_parameter(name: str, dims: int) -> None:
    size = smallest(name)
    network = build(name, channels=2, size=size, dims=dims)
    logits = network(torch.rand(2, 2, *[size] * dims))
    logits.square().sum().backward()
    assert logits.shape == (2, len(FINDINGS))
    assert logits.isfinite().all()
    gradients = {key: value.grad for key, value in network.named_parameters()}
    assert [key for key, gradient in gradients.items() if gradient is None or not gradient.isfinite().all()] == []


@pytest.mark.parametrize("name", NETWORKS)
def test_one_pixel_less_than_the_smallest_size_is_refused_and_would_indeed_fail(name: str) -> None:
    less = smallest(name) - 1
    with pytest.raises(Refused, match=f"needs at least {less + 1} pixels"):
        build(name, size=less)
    with pytest.raises(RuntimeError):
        build(name)(torch.rand(1, 3, less, less))


@pytest.mark.parametrize(("blocks", "least"), [([2], 1), ([2, 2], 5), ([1, 1, 1], 13), ([1, 1, 1, 1, 1], 61)])
def test_the_smallest_size_of_a_densenet_follows_its_blocks(blocks: list[int], least: int) -> None:
    network = build(size=least, blocks=blocks, groups=1)
    assert network(torch.rand(1, 3, least, least)).shape == (1, 6)
    with pytest.raises(RuntimeError):
        network(torch.rand(1, 3, least - 1, least - 1))


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("densenet-small", 25e3, 30e3), ("densenet121", 6.9e6, 7e6), ("efficientnet-b0", 4e6, 4.1e6)]
    + [("cnn", 0.98 * 97e3, 1.02 * 97e3), ("vgg-small", 60e3, 62e3)],
)
def test_each_network_has_the_size_that_is_promised(name: str, least: float, most: float) -> None:
    assert least <= parameters_of(build(name)) <= most


def test_the_parameters_of_a_cnn_are_those_of_its_layers() -> None:
    layers = sum(9 * before * after + 2 * after for before, after in [(5, 8), (8, 16)])
    assert parameters_of(build("cnn", channels=5, widths=(8, 16))) == layers + 16 * 6 + 6


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_seed_gives_the_same_weights_and_another_seed_gives_others(name: str) -> None:
    torch.manual_seed(1)
    first = build(name, seed=7)
    torch.manual_seed(2)
    assert same(first, build(name, seed=7))
    assert not same(first, build(name, seed=8))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_seeded_network_leaves_the_global_random_state_as_it_was(name: str) -> None:
    before = torch.get_rng_state()
    build(name, seed=7)
    assert torch.equal(before, torch.get_rng_state())


def test_without_a_seed_the_weights_come_from_the_global_random_state() -> None:
    torch.manual_seed(1)
    first, second = build("cnn", seed=None), build("cnn", seed=None)
    torch.manual_seed(1)
    assert same(first, build("cnn", seed=None))
    assert not same(first, second)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_forward_pass_in_training_draws_no_random_number(name: str) -> None:
    network, images = build(name, size=32).train(), torch.rand(2, 3, 32, 32)
    before = torch.get_rng_state()
    first = network(images)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, network(images))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_scan_gets_the_same_logits_whoever_is_in_its_batch(name: str) -> None:
    network, images = build(name, size=32).train(), torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(network(images)[:1], network(images[:1]), rtol=1e-3, atol=1e-4)


def test_lists_from_json_are_as_good_as_tuples() -> None:
    assert same(build("cnn", widths=[8, 16]), build("cnn", widths=(8, 16)))


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"name": "resnet18"}, "network is 'resnet18'; choose one of densenet-small, densenet121"),
        ({"dims": 4}, "dims is 4"),
        ({"channels": 0}, "channels is 0"),
        ({"depth": 3}, "no option 'depth'; it knows features, growth, blocks, bottleneck, groups"),
        ({"name": "efficientnet-b0", "widths": (8,)}, "efficientnet-b0 has no option 'widths'; it knows groups"),
        ({"name": "cnn", "widths": (16, 20)}, "groups that divide"),
        ({"growth": 6}, "groups that divide"),
        ({"name": "cnn", "widths": ()}, "list of whole numbers"),
        ({"name": "cnn", "widths": 16}, "list of whole numbers"),
        ({"name": "cnn", "widths": (16, 0)}, "list of whole numbers"),
        ({"groups": 0}, "a whole number >= 1"),
        ({"groups": True}, "a whole number >= 1"),
        ({"groups": [4]}, "a whole number >= 1"),
    ],
)
def test_what_cannot_be_built_is_refused_with_what_can(choices: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=words):
        build(**choices)


def test_the_batchnorms_that_monai_keeps_in_a_groupnorm_resnet18_are_caught_and_named() -> None:
    from monai.networks.nets import resnet18

    network = resnet18(spatial_dims=2, n_input_channels=3, num_classes=6, norm=("group", {"num_groups": 8}))
    with pytest.raises(Refused, match=r"resnet18 has 19 BatchNorm layers \(layer1\.0\.bn1, .*layer4\.1\.bn2\)"):
        without_batchnorm(network, "resnet18")


def test_no_network_with_a_batchnorm_leaves_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = Network(
        lambda channels, dims, outputs: nn.Sequential(nn.Conv2d(channels, 6, 3), nn.BatchNorm2d(6)), lambda options: 3
    )
    monkeypatch.setitem(networks.NETWORKS, "bad", bad)
    with pytest.raises(Refused, match=r"bad has 1 BatchNorm layers \(1\)"):
        build("bad")


def batch(seed: int, rows: int = 5) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 6, generator=random), torch.randint(2, (rows, 6), generator=random).float()


def test_with_every_label_known_the_loss_is_the_mean_cross_entropy() -> None:
    logits, labels = batch(0)
    torch.testing.assert_close(masked_bce(logits, labels), binary_cross_entropy_with_logits(logits, labels))


def test_without_a_label_the_loss_and_its_gradient_are_zero() -> None:
    logits = batch(0)[0].requires_grad_()
    loss = masked_bce(logits, torch.full_like(logits, torch.nan))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), hidden=st.lists(st.booleans(), min_size=30, max_size=30).filter(lambda h: not all(h)))
def test_the_loss_is_that_of_the_labelled_outputs_alone(seed: int, hidden: list[bool]) -> None:
    logits, labels = batch(seed)
    logits.requires_grad_()
    known = ~torch.tensor(hidden).view(5, 6)
    loss = masked_bce(logits, labels.where(known, torch.nan))
    torch.testing.assert_close(loss, binary_cross_entropy_with_logits(logits[known], labels[known]))
    (gradient,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(gradient, ((logits.sigmoid() - labels) * known / known.sum()).detach())


@pytest.mark.parametrize("dims", [2, 3])
def test_a_vggs_options_are_read_from_its_weights_in_whatever_widths_it_has(dims: int) -> None:
    widths = [3, 5, 2, 7, 4, 6, 9, 8, 2, 3, 4]  # more than nine, so that conv10 must come after conv9
    network = build("vgg-small", size=2**11, dims=dims, widths=widths, hidden=13)
    options = NETWORKS["vgg-small"].options_of(network.state_dict())
    assert options == {"widths": widths, "hidden": 13}
    assert NETWORKS["cnn"].options_of(build("cnn").state_dict()) == {}


@pytest.mark.parametrize("dims", [2, 3])
def test_a_vggs_logits_and_gradients_neither_vanish_nor_explode_where_it_starts(dims: int) -> None:
    """He initialisation keeps the scale of activations: without it the logits of unlike scans are all but equal."""
    network = build("vgg-small", size=32, dims=dims, widths=(8, 16, 16), hidden=32)
    logits = network(torch.rand(16, 3, *[32] * dims, generator=torch.Generator().manual_seed(0)))
    logits.square().sum().backward()
    assert 0.3 < logits.std() < 10
    assert all(value.grad is not None and value.grad.abs().max() > 0 for value in network.parameters())


def test_fourier_features_have_the_inner_products_of_a_gaussian_kernel_of_width_1():
    torch.manual_seed(0)
    points = torch.randn(6, 4)
    features = Fourier(4, 40_000)(points)
    wanted = torch.exp(-torch.cdist(points, points).square() / 2)
    torch.testing.assert_close(features @ features.T, wanted, rtol=0, atol=0.03)

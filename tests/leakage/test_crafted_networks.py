"""Crafted networks against a site that answers whatever is asked, one that adds noise, and one that refuses."""

import pytest
import torch

from brainct.core.scheme import Task
from brainct.ct.learner import learner_of
from brainct.ct.model import network_of
from brainct.job.config import plan_of
from brainct.leakage import crafted_networks
from brainct.leakage.crafted_networks import CLEAR, imprint, imprint_weights, read_imprint
from brainct.leakage.loss_attack import read_through_loss
from brainct.protocol.replies import Description, Failure, Update
from brainct.security.credentials import offline
from brainct.training.data import Dataset, Fold
from tests.support.requests import describes


def scans(size, count=6, seed=0):
    """Smooth pictures of differing brightness, with a label of `any` each."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=rng)
    brightness = torch.linspace(0.3, 0.9, count)[:, None, None, None]
    images = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear") * brightness
    labels = torch.full((count, 6), torch.nan)
    labels[:, 5] = torch.arange(count) % 2
    return Fold(images, labels)


class Site:
    """Replies as the scheme says, without any agent between; a test says what else becomes of a reply."""

    def __init__(self, fold, noise=0.0, refuse="", tells_loss=True):
        self.fold, self.noise, self.refuse, self.tells_loss, self.rounds = fold, noise, refuse, tells_loss, []

    def reply(self, request):
        if describes(request):
            return Description({})
        if self.refuse:
            return Failure(self.refuse)
        self.rounds.append(request.round)
        plan = plan_of(request.plan, "the job")
        learner = learner_of(plan, Dataset("x", {"train": self.fold}, "0"), offline(plan, "site-1", request.round))
        report, _ = plan.build().reply(Task(request.task.weights), learner, {})
        weights = {key: value + self.noise * torch.randn(value.shape) for key, value in report.weights.items()}
        return Update(weights, report.examples, dict(report.metrics) if self.tells_loss else {}, {})


@pytest.mark.parametrize("scheme", ["fedsgd", "fedavg"])
def test_one_report_under_an_imprint_layer_gives_scans_to_the_last_digit(scheme):
    found = imprint(Site(scans(32)), "site-1", scans(32), scheme, 32)
    assert (found.verdict, found.recovered, found.of, found.orders) == ("FAIL", 6, 6, 1)
    assert found.best > 60


def test_scans_of_equal_brightness_stay_mixed():
    fold = scans(32, 2)
    images = fold.inputs / fold.inputs.mean((1, 2, 3), keepdim=True) * 0.3
    found = imprint(Site(Fold(images.clamp(0, 1), fold.labels)), "site-1", fold, "fedsgd", 32)
    assert found.verdict == "PASS"


def test_the_training_loss_alone_gives_one_scan():
    site = Site(scans(16))
    found = read_through_loss(site, "site-1", scans(16), 16)
    assert (found.verdict, found.recovered, found.of) == ("FAIL", 1, 6)
    assert found.best > CLEAR
    assert site.rounds == list(range(len(site.rounds)))


def test_a_site_with_a_single_negative_scan_on_top_is_read_as_well():
    fold = scans(16, 5)
    found = read_through_loss(Site(fold), "site-1", fold, 16)
    assert fold.labels[-1, 5] == 0
    assert found.recovered == 1


def test_noise_or_no_loss_or_a_refusal_is_a_pass():
    assert imprint(Site(scans(32), noise=0.05), "site-1", scans(32), "fedavg", 32).verdict == "PASS"
    assert read_through_loss(Site(scans(16), tells_loss=False), "site-1", scans(16), 16).recovered == 0
    found = imprint(Site(scans(32), refuse="network vgg-small is not on its list"), "site-1", scans(32), "fedsgd", 32)
    assert str(found).startswith("PASS  imprint layer, gradient of fedsgd at 32 px: 0 of 6 training scans, 1 request;")
    assert "vgg-small is not on its list" in str(found)


def test_the_gradient_of_an_imprint_layer_is_read_as_autograd_gives_it():
    plan = crafted_networks.crafted_plan("fedsgd", 16, 64)
    network = network_of(plan.network, plan.seed)
    network.load_state_dict(imprint_weights(network.state_dict()))
    picture = scans(16, 1).inputs
    network(picture)[0, crafted_networks.ANY].backward()
    gradient = {name: value.grad for name, value in network.named_parameters()}
    [found] = read_imprint(gradient)
    assert torch.allclose(found.float(), torch.nn.functional.max_pool2d(picture, 2)[0], atol=1e-5)


def test_where_two_scans_are_equally_bright_another_part_of_the_picture_tells_them_apart():
    fold = scans(16)
    images = fold.inputs.clone()
    images[-2] = images[-1].flip(-2).contiguous()
    both = Fold(images, fold.labels)
    assert read_through_loss(Site(both), "site-1", both, 16).recovered == 1

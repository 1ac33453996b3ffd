"""What is true of averaging after re-basin alone."""

import itertools

import numpy as np
import pytest
import torch

from brainct.ct.model import build
from brainct.errors import Refused
from brainct.learner import described, model_of
from brainct.matching import Link, permuted
from brainct.scheme import Report
from brainct.schemes.fedavg import fedavg
from brainct.schemes.rebasin import rebasin
from brainct.weights import sha256
from tests.conftest import tiny_learner, tiny_plan

SITES = ["site-1", "site-2", "site-3"]
CNN = {"widths": (8, 12), "groups": 4}
networks = pytest.mark.parametrize(
    ("name", "options", "dims"), [("cnn", CNN, 2), ("cnn", CNN, 3), ("vgg-small", {"widths": (6, 8), "hidden": 10}, 2)]
)


def begun(name, options, dims, **arguments):
    """The scheme, its first memory, and weights of which no two units are alike."""
    scheme = rebasin(**arguments)
    model = described(build(name, size=16, dims=dims, **options), name)
    random = torch.Generator().manual_seed(0)
    weights = {key: torch.randn(value.shape, generator=random) for key, value in model.weights.items()}
    return scheme, scheme.start(model, SITES, 0), weights


def shuffled(weights, memory, seed):
    """The same function with the channels of each group, and the groups, in another order."""
    random = np.random.default_rng(seed)
    for link, following in itertools.pairwise(Link(**row) for row in memory["chain"]):
        groups = link.groups or 1
        size = len(weights[link.weight]) // groups
        order = np.concatenate([part * size + random.permutation(size) for part in random.permutation(groups)])
        weights = permuted(weights, link, following, order)
    return weights


@networks
def test_the_average_of_permuted_copies_is_the_first_sites_network(name, options, dims):
    scheme, memory, weights = begun(name, options, dims)
    models = {site: shuffled(weights, memory, seed) for seed, site in enumerate(SITES)}
    found = scheme.combine(memory, 0, {site: Report(model, 3) for site, model in models.items()})["weights"]
    plain = fedavg().combine(memory, 0, {site: Report(model, 3) for site, model in models.items()})["weights"]
    for key, value in found.items():
        torch.testing.assert_close(value, models["site-1"][key], rtol=1e-6, atol=1e-6)
    assert any((plain[key] - value).abs().max() > 0.5 for key, value in found.items())


@networks
def test_the_share_of_a_site_is_its_number_of_training_scans(name, options, dims):
    scheme, memory, weights = begun(name, options, dims)
    moved = shuffled({**weights, "head.bias": weights["head.bias"] + 4}, memory, 1)
    found = scheme.combine(memory, 0, {"site-1": Report(weights, 1), "site-2": Report(moved, 3)})["weights"]
    torch.testing.assert_close(found["head.bias"], weights["head.bias"] + 3)


@pytest.mark.parametrize("weight_by", ["examples", "equal"])
def test_where_no_better_order_is_found_it_is_fedavg_to_the_bit(weight_by):
    plan, hashes = tiny_plan(), []
    for scheme in (rebasin(weight_by=weight_by), fedavg(weight_by=weight_by)):
        memory = scheme.start(model_of(plan), SITES, 5)
        for number in range(2):
            tasks = scheme.assign(memory, number, SITES)
            learners = {site: tiny_learner(plan, site, number, scans=5 + n) for n, site in enumerate(SITES)}
            reports = {site: scheme.reply(tasks[site], learners[site], {})[0] for site in SITES}
            memory = scheme.combine(memory, number, reports)
        hashes.append(sha256(scheme.model(memory)))
    assert hashes[0] == hashes[1]


def test_one_sweep_moves_no_farther_than_many():
    distance = {}
    for sweeps in (1, 100):
        scheme, memory, weights = begun("cnn", CNN, 2, sweeps=sweeps)
        moved = shuffled(weights, memory, 4)
        found = scheme.combine(memory, 0, {"site-1": Report(weights, 1), "site-2": Report(moved, 1)})["weights"]
        distance[sweeps] = sum((found[key] - weights[key]).square().sum() for key in weights).item()
    assert distance[100] < 1e-6
    assert distance[100] <= distance[1]


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("densenet-small", r"features.denseblock1.denselayer1.layers.norm1 \(GroupNorm\)"),
        ("efficientnet-b0", r"_blocks.0.0._depthwise_conv \(does not read _conv_stem.weight\)"),
    ],
)
def test_a_network_with_shortcuts_is_refused_with_its_layers(name, layer):
    with pytest.raises(
        Refused, match=f"rebasin can't treat network '{name}'; .* one of cnn, vgg-small.*fault: {layer}"
    ):
        rebasin().start(described(build(name), name), SITES, 0)


def test_no_sweep_at_all_is_refused():
    with pytest.raises(Refused, match="rebasin: sweeps is 0"):
        rebasin(sweeps=0)

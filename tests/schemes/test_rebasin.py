"""What is true of averaging after re-basin alone."""

import itertools

import numpy as np
import pytest
import torch

from brainct.core.matching import Link, permute
from brainct.core.report_check import check_report
from brainct.core.scheme import Report
from brainct.core.weights import sha256
from brainct.ct.model import model_of
from brainct.ct.networks import build
from brainct.errors import Refused
from brainct.schemes.fedavg import fedavg
from brainct.schemes.rebasin import rebasin, repair_layer
from brainct.training.networks import described
from tests.conftest import seeded_model, tiny_learner, tiny_plan

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
    for link, following in itertools.pairwise(Link(**{**row, "carried": []}) for row in memory["chain"]):
        groups = link.groups or 1
        size = len(weights[link.weight]) // groups
        order = np.concatenate([part * size + random.permutation(size) for part in random.permutation(groups)])
        weights = permute(weights, link, following, order)
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
        memory = scheme.start(model_of(plan.network, plan.seed, plan.rounds), SITES, 5)
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


CHAINS = {"cnn": {"widths": [4, 4], "groups": 2}, "vgg-small": {"widths": [3, 4], "hidden": 5}}
chains = pytest.mark.parametrize("architecture", CHAINS)


def repairing(architecture, rounds, repair=True, lost=(), weight_by="examples"):
    """Rounds by hand: the scheme, its memory after each, and the reports of each."""
    network = {"architecture": architecture, "size": 32, "options": CHAINS[architecture]}
    plan = tiny_plan("rebasin", rounds=12, network=network, fit={"rate": 0.3, "epochs": 3, "batch_size": 3})
    scheme = rebasin(repair=repair, weight_by=weight_by)
    memory, seen = scheme.start(model_of(plan.network, plan.seed, plan.rounds), SITES, 5), []
    for number in range(rounds):
        reports = {}
        for count, (site, task) in enumerate(scheme.assign(memory, number, SITES).items()):
            if (site, number) in lost:
                continue
            learner = tiny_learner(plan, site, number, scans=5 + 2 * count)
            reports[site], _ = scheme.reply(task, learner, {})
            check_report(reports[site], task, scheme, site)
        memory = scheme.combine(memory, number, reports)
        seen.append((memory, reports))
    return plan, scheme, seen


def measured(plan, model, layers, weight_by):
    """The sites' mean, by share, of each channel's mean and deviation, taken by numpy from a hook's whole outputs."""
    total = {layer: 0.0 for layer in layers}
    for count, site in enumerate(SITES):
        learner = tiny_learner(plan, site, 0, scans=5 + 2 * count)
        share = (5 + 2 * count) / 21 if weight_by == "examples" else 1 / 3
        learner.network.load_state_dict(model(site))
        for layer in layers:
            out = []
            hook = learner.network.get_submodule(layer).register_forward_hook(lambda _, __, y, out=out: out.append(y))
            learner.network(learner.data.folds["train"].inputs)
            hook.remove()
            values = out[0].detach().double().transpose(0, 1).flatten(1).numpy()
            total[layer] = total[layer] + share * np.stack([values.mean(1), values.std(1)])
    return total


@chains
@pytest.mark.parametrize("weight_by", ["examples", "equal"])
def test_after_repair_the_activations_have_the_sites_mean_and_deviation(architecture, weight_by):
    layers = ["norm1", "norm2"] if architecture == "cnn" else ["conv1", "conv2", "hidden"]
    plan, scheme, seen = repairing(architecture, len(layers) + 1, weight_by=weight_by)
    trained = seen[0][1]
    parts = {site: {k: v for k, v in trained[site].weights.items() if k in seen[0][0]["weights"]} for site in SITES}
    wanted = measured(plan, parts.__getitem__, layers, weight_by)
    before = measured(plan, lambda site: seen[0][0]["weights"], layers, weight_by)
    after = measured(plan, lambda site: scheme.model(seen[-1][0]), layers, weight_by)
    assert max(np.abs(before[layer] - wanted[layer]).max() for layer in layers) > 1e-3, "or there was nothing to repair"
    for layer in layers:
        np.testing.assert_allclose(after[layer], wanted[layer], rtol=0, atol=2e-6)


@chains
def test_statistics_move_with_their_units(architecture):
    """Each unit tells a number of its own, its bias; so the first site's numbers are all sites' mean."""
    network = {"architecture": architecture, "size": 32, "options": CHAINS[architecture]}
    plan, scheme = tiny_plan("rebasin", rounds=12, network=network), rebasin(repair=True)
    memory = scheme.start(model_of(plan.network, plan.seed, plan.rounds), SITES, 0)
    random, layers = torch.Generator().manual_seed(3), [Link(**row).last for row in memory["chain"][:-1]]
    weights = {key: torch.randn(value.shape, generator=random) for key, value in memory["weights"].items()}
    models = {site: shuffled(weights, memory, seed) for seed, site in enumerate(SITES)}
    told = {
        site: {f"activations/{x}": torch.stack([model[f"{x}.bias"].double()] * 2, 1) for x in layers}
        for site, model in models.items()
    }
    after = scheme.combine(memory, 0, {site: Report({**models[site], **told[site]}, 3) for site in SITES})
    for key, value in after["wanted"].items():
        torch.testing.assert_close(value, told["site-1"][key])


def test_without_repair_nothing_more_is_asked_and_with_it_training_is_the_same_to_the_bit():
    (_, scheme, without), (_, _, with_it) = (repairing("cnn", 1, repair) for repair in (False, True))
    assert sha256(without[0][0]["weights"]) == sha256(with_it[0][0]["weights"])
    assert not scheme.assign(without[0][0], 1, SITES)["site-1"].extra
    assert set(without[0][1]["site-1"].weights) == set(without[0][0]["weights"])


def test_a_site_lost_while_the_average_is_measured_is_left_out_of_that_layer():
    for lost in ({("site-2", 0)}, {("site-2", 1)}):
        _, scheme, seen = repairing("cnn", 4, lost=lost)
        assert all(value.isfinite().all() for value in scheme.model(seen[-1][0]).values())


def test_a_unit_that_says_the_same_for_all_scans_is_only_shifted():
    link = Link("conv1.weight", ["conv1.bias"], carried=["activations/conv1"])
    weights = {"conv1.weight": torch.ones(2, 1, 3, 3), "conv1.bias": torch.tensor([1.0, 1.0])}
    found = {"activations/conv1": torch.tensor([[5.0, 0.0], [5.0, 2.0]]).double()}
    wanted = {"activations/conv1": torch.tensor([[7.0, 3.0], [7.0, 3.0]]).double()}
    after = repair_layer(weights, link, found, wanted)
    assert after["conv1.weight"][:, 0, 0, 0].tolist() == [1.0, 1.5]
    assert after["conv1.bias"].tolist() == [3.0, 1.0]


def test_a_repair_that_is_no_choice_is_refused():
    with pytest.raises(Refused, match="rebasin: repair is 'yes'; wanted true or false"):
        rebasin(repair="yes")


def test_a_run_that_would_end_amid_a_repair_is_refused_at_start():
    rebasin(repair=True).start(seeded_model(tiny_plan(rounds=6)), SITES, 0)
    with pytest.raises(Refused, match="REPAIR has cycles of 3 rounds; wanted a multiple, not 7"):
        rebasin(repair=True).start(seeded_model(tiny_plan(rounds=7)), SITES, 0)

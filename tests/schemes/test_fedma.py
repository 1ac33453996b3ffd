"""What is true of matched averaging alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from brainct.core.matching import permute
from brainct.core.report_check import check_report
from brainct.core.scheme import Report, Task
from brainct.ct.model import model_of, network_like
from brainct.ct.networks import build
from brainct.errors import Refused
from brainct.schemes._sequential import chain_of
from brainct.schemes.fedma import fedma
from brainct.training.networks import described, parameters_of
from tests.conftest import tiny_learner, tiny_plan

SITES = ["site-1", "site-2", "site-3"]
LAYERS = ["conv1", "conv2", "hidden", "head"]
LABELLED = {"labelled": [1] * 6}


def network(dims=2, **options):
    return build("vgg-small", size=16, dims=dims, **{"widths": (6, 8), "hidden": 10, **options})


def random_weights(seed, dims=2):
    random = torch.Generator().manual_seed(seed)
    return {key: torch.randn(value.shape, generator=random) for key, value in network(dims).state_dict().items()}


def logits(weights, dims=2):
    widths, hidden = [len(weights["conv1.weight"]), len(weights["conv2.weight"])], len(weights["hidden.weight"])
    net = network(dims, widths=widths, hidden=hidden).double()
    net.load_state_dict({key: value.double() for key, value in weights.items()})
    return net(torch.rand(3, 3, *[16] * dims, generator=torch.Generator().manual_seed(5)).double()).detach()


def copies(weights, dims=2):
    """The same network at each site, its hidden units in another order; the first site has it as it is."""
    chain, found = chain_of(described(network(dims), "vgg-small"), ("vgg-small",), "test"), {}
    for site in SITES:
        found[site], random = weights, np.random.default_rng(SITES.index(site))
        for link, following in zip(chain, chain[1:], strict=False):
            order = random.permutation(len(weights[link.weight]))
            found[site] = permute(found[site], link, following, order) if site != SITES[0] else weights
    return found


def play(scheme, models, rounds, dims=2, lost=(), extra=lambda site: LABELLED):
    """Rounds in which each site sends the first time what is given here, and later what came: it learns nothing."""
    memory = scheme.start(described(network(dims), "vgg-small"), list(models), 3)
    for number in range(rounds):
        tasks = scheme.assign(memory, number, list(models))
        reports = {}
        for site, task in tasks.items():
            sent = models[site] if number == 0 else task.weights
            weights = {key: sent[key] for key in task.weights if key not in task.extra["frozen"]}
            reports[site] = Report(weights, 1, extra=extra(site))
            check_report(reports[site], task, scheme, site)
        memory = scheme.combine(
            memory, number, {site: one for site, one in reports.items() if (site, number) not in lost}
        )
    return memory


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("rounds", [1, 2, 3, 4, 5, 8])
def test_permuted_copies_of_one_network_are_matched_and_their_average_is_that_network(rounds, dims):
    weights = random_weights(0, dims)
    model = play(fedma(), copies(weights, dims), rounds, dims)["model"]
    assert {key: value.shape for key, value in model.items()} == {key: value.shape for key, value in weights.items()}
    torch.testing.assert_close(logits(model, dims), logits(weights, dims), rtol=1e-5, atol=1e-5)


def test_the_coordinatewise_mean_of_these_copies_is_another_function():
    weights = random_weights(0)
    models = copies(weights)
    mean = {key: sum(models[site][key] for site in SITES) / 3 for key in weights}
    assert (logits(mean) - logits(weights)).abs().max() > 1


def test_in_each_round_one_more_layer_is_frozen_and_the_same_at_all_sites():
    scheme, models = fedma(), {site: random_weights(number) for number, site in enumerate(SITES)}
    for number in range(8):
        tasks = scheme.assign(play(scheme, models, number), number, SITES)
        frozen = LAYERS[: number % 4]
        wanted = [f"{layer}.{part}" for layer in frozen for part in ("weight", "bias")]
        assert all(task.extra["frozen"] == wanted for task in tasks.values())
        for key in wanted:
            assert all(torch.equal(task.weights[key], tasks["site-1"].weights[key]) for task in tasks.values())


def test_a_site_trains_and_sends_only_what_is_not_frozen():
    plan = tiny_plan("fedma", fit={"steps": 3})  # a first step alone would be the same with nothing frozen
    weights = dict(model_of(plan.network, plan.seed, plan.rounds).weights)
    task = Task(weights, {"frozen": ["conv1.weight", "conv1.bias"]})
    report, client_state = fedma().reply(task, tiny_learner(plan), {})
    assert report.weights.keys() == weights.keys() - {"conv1.weight", "conv1.bias"}
    assert not torch.equal(report.weights["conv2.weight"], weights["conv2.weight"])
    fitted = tiny_learner(plan).fit(weights, frozen=task.extra["frozen"]).weights
    assert all(torch.equal(value, fitted[key]) for key, value in report.weights.items())
    assert report.extra["labelled"] == client_state["labelled"] == [8] * 6


def test_every_pass_notes_its_own_places():
    models = {site: random_weights(number) for number, site in enumerate(SITES)}
    for rounds, noted in enumerate([0, 1, 2, 3, 3, 1, 2, 3, 3]):
        assert {len(places) for places in play(fedma(), models, rounds)["places"].values()} == {noted}


def test_a_unit_that_one_site_alone_has_is_kept_as_it_is_and_read_by_that_site_alone():
    weights = random_weights(0)
    odd = {key: value.clone() for key, value in weights.items()}
    odd["conv1.weight"][2], odd["conv1.bias"][2] = -odd["conv1.weight"][2], -odd["conv1.bias"][2]
    memory = play(fedma(growth=2), {"site-1": weights, "site-2": odd}, 1)
    for site, own in (("site-1", weights), ("site-2", odd)):
        model = memory["models"][site]
        assert len(model["conv1.weight"]) == model["conv2.weight"].shape[1] == 7
        torch.testing.assert_close(logits(model), logits(own), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("growth", "widths"), [(1, (6, 8, 10)), (1.5, (9, 12, 15)), (1.3, (7, 10, 13)), (9, (18, 24, 30))]
)
def test_widths_grow_up_to_the_bound_and_no_pass_grows_them_further(growth, widths):
    scheme = fedma(gamma=1e9, noise=0.01, growth=growth)
    models = {site: random_weights(number) for number, site in enumerate(SITES)}
    for rounds in (1, 4, 8):
        memory = play(scheme, models, rounds)
        found = [len(memory["model"][f"{layer}.weight"]) for layer in LAYERS[:3]]
        assert all(own <= bound for own, bound in zip(found, widths, strict=True))
        assert rounds > 4 or tuple(found) == widths


def test_after_a_pass_each_site_has_its_own_units_in_the_original_width():
    models = {site: random_weights(number) for number, site in enumerate(SITES)}
    memory = play(fedma(gamma=1e9, noise=0.01, growth=9), models, 4)
    for site, model in memory["models"].items():  # nothing was matched, so only the head is not the site's own
        assert all(torch.equal(model[key], models[site][key]) for key in model if not key.startswith("head"))
        rows = memory["model"]["head.weight"].shape[1]
        assert (rows, model["head.weight"].shape[1]) == (30, 10)


def test_the_heads_rows_are_averaged_by_the_sites_labelled_scans():
    models = {site: random_weights(0) for site in SITES}
    for number, site in enumerate(SITES):
        models[site] = {**models[site], "head.bias": torch.full((6,), 10.0**number)}
    counts = {"site-1": [1, 0, 0, 5, 5, 5], "site-2": [1, 3, 0, 5, 5, 5], "site-3": [2, 1, 0, 5, 5, 5]}
    bias = play(fedma(), models, 4, extra=lambda site: {"labelled": counts[site]})["model"]["head.bias"]
    torch.testing.assert_close(bias[:4], torch.tensor([(1 + 10 + 200) / 4, (30 + 100) / 4, 111 / 3, 111 / 3]))


@pytest.mark.parametrize("counts", [[1] * 5, [1, 1, 1, 1, 1, -1], [1.5] * 6, "many"])
def test_counts_that_cannot_be_counts_are_refused_at_the_door(counts):
    scheme = fedma()
    task = scheme.assign(scheme.start(described(network(), "vgg-small"), SITES, 0), 0, SITES)["site-1"]
    report = Report(task.weights, 1, extra=LABELLED)
    check_report(report, task, scheme, "site-1")
    with pytest.raises(Refused, match="labelled scans are .*; wanted 6 whole numbers"):
        check_report(replace(report, extra={"labelled": counts}), task, scheme, "site-1")


def test_the_layer_waits_for_every_site_and_under_a_lower_quorum_takes_the_servers_copy():
    scheme, weights = fedma(), random_weights(0)
    assert [scheme.quorum(asked) for asked in (1, 4, 9)] == [1, 4, 9]
    memory = play(scheme, copies(weights), 4, lost={("site-2", 1), ("site-3", 3)})
    torch.testing.assert_close(logits(memory["model"]), logits(weights), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cnn", r"norm1 \(GroupNorm\), norm2 \(GroupNorm\), norm3 \(GroupNorm\), norm4 \(GroupNorm\)$"),
        ("densenet-small", r"features.norm0 \(GroupNorm\), .* and \d+ more$"),
        ("efficientnet-b0", r"_bn0 \(GroupNorm\), .* and \d+ more$"),
    ],
)
def test_a_network_that_is_no_plain_chain_is_refused_with_its_layers(name, words):
    with pytest.raises(
        Refused, match=f"fedma can't treat network '{name}'; wanted .* one of vgg-small.*fault: .*{words}"
    ):
        fedma().start(described(build(name), name), SITES, 0)


def test_a_network_of_unknown_name_is_refused_even_where_its_layers_chain():
    with pytest.raises(Refused, match="can't treat network 'resnet'.*fault: none"):
        fedma().start(described(network(), "resnet"), SITES, 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"gamma": 0}, "gamma is 0"),
        ({"noise": -1}, "noise is -1"),
        ({"growth": 0.9}, "growth"),
        ({"sweeps": 0}, "sweeps"),
    ],
)
def test_an_argument_out_of_range_is_refused(arguments, words):
    with pytest.raises(Refused, match=f"fedma: {words}"):
        fedma(**arguments)


def test_a_run_grows_is_evaluated_and_leaves_a_model_that_loads(small_site, tmp_path):
    from brainct.run.model_file import load_model
    from brainct.run.rehearse import rehearse

    plan = tiny_plan("fedma", arguments={"gamma": 1e9, "noise": 1e-6, "growth": 1.5}, rounds=5, evaluate_every=2)
    record = rehearse(plan, ["site-1", "site-2"], tmp_path / "out", log=lambda line: None).content
    assert all(set(row["bytes_received"]) == {"site-1", "site-2"} for row in record["rounds"])
    assert set(record["test"]) == {"site-1", "site-2"}
    weights = load_model(tmp_path / "out" / "model.safetensors")
    loaded = network_like(plan.network, plan.seed, weights)
    loaded.load_state_dict(weights)
    assert len(weights["conv1.weight"]) == 12
    assert parameters_of(loaded) > parameters_of(
        network_like(plan.network, plan.seed, model_of(plan.network, plan.seed, plan.rounds).weights)
    )


def test_a_learner_trains_and_evaluates_weights_of_other_widths_and_then_its_own_again():
    plan = tiny_plan("fedma")
    learner, own = tiny_learner(plan), dict(model_of(plan.network, plan.seed, plan.rounds).weights)
    wide = {key: value for key, value in network(widths=(11, 5), hidden=9).state_dict().items()}
    assert {key: value.shape for key, value in learner.fit(wide).weights.items()} == {
        key: value.shape for key, value in wide.items()
    }
    assert learner.predict(wide).shape == (8, 6)
    torch.testing.assert_close(learner.predict(own), tiny_learner(plan).predict(own))
    with pytest.raises(Refused, match="tensor conv2.weight has shape"):
        learner.fit({**wide, "conv2.weight": torch.zeros(5, 3, 3, 3)})


def test_a_network_whose_widths_are_its_plans_refuses_others():
    plan = tiny_plan("fedavg")
    with pytest.raises(Refused, match="head.bias has shape"):
        tiny_learner(plan).fit({**model_of(plan.network, plan.seed, plan.rounds).weights, "head.bias": torch.zeros(7)})

"""What is true of all schemes in which a part of the model travels and the rest stays; and the choice by layer."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from brainct.core.learner import Layer, Model
from brainct.core.report_check import check_report
from brainct.core.scheme import Task
from brainct.core.weights import mean, sha256
from brainct.ct.model import model_of
from brainct.ct.networks import NETWORKS, build
from brainct.errors import Refused
from brainct.schemes import build as scheme_of
from brainct.schemes._partial import NORMALISATION, head_of, of_kind, under
from brainct.training.networks import described
from tests.conftest import first_weights, seeded_model, tiny_learner, tiny_plan
from tests.support.batchnorm import STATISTICS, batchnorm_learner, batchnorm_network
from tests.support.by_hand import COUNTS, SITES, play

HEAD, BODY = {"head.weight", "head.bias"}, {"conv1.weight", "conv2.weight"}
NORM = {f"norm{number}.{part}" for number in (1, 2) for part in ("weight", "bias")}
STAYS = [
    ("fedper", {}, HEAD),
    ("fedper", {"head": ["norm2", "head"]}, HEAD | {"norm2.weight", "norm2.bias"}),
    ("fedrep", {"head_epochs": 2}, HEAD),
    ("fedbabu", {}, HEAD),
    ("lgfedavg", {}, BODY | NORM),
    ("fedbn", {}, NORM),
    ("silobn", {}, STATISTICS),
    ("layerwise", {"depth": 2}, HEAD | {"conv2.weight", "norm2.weight", "norm2.bias"}),
    ("layerwise", {"layers": ["head"]}, BODY | NORM),
]
every_choice = pytest.mark.parametrize(
    ("name", "arguments", "stays"), STAYS, ids=[f"{name}-{'-'.join(arguments)}" for name, arguments, _ in STAYS]
)


def played(name, arguments, rounds=3, **options):
    """The rounds, the model that they started from, and the scheme; silobn on a network that has BatchNorm."""
    plan, scheme = tiny_plan(name, arguments=arguments), scheme_of(name, arguments)
    if name == "silobn":
        options = {"model": described(batchnorm_network(), "bn"), "learner": batchnorm_learner, **options}
    model = options.pop("model", model_of(plan.network, plan.seed, plan.rounds))
    return play(scheme, plan, rounds, model=model, **options), model, scheme


@every_choice
def test_what_stays_is_in_no_task_after_the_start_and_in_no_report(name, arguments, stays):
    seen, model, _ = played(name, arguments)
    for number, row in enumerate(seen):
        for site in SITES:
            assert row.tasks[site].weights.keys() == row.reports[site].weights.keys() == model.weights.keys() - stays
            assert row.keeps[site]["own"].keys() == stays
            assert set(row.reports[site].extra) == set()
            assert set(row.tasks[site].extra) == ({"own"} if number == 0 else set())
    assert sha256(seen[-1].memory["own"]) == sha256({key: model.weights[key] for key in stays})


@every_choice
def test_what_travels_becomes_the_mean_and_the_rest_is_as_it_began(name, arguments, stays):
    seen, model, scheme = played(name, arguments, rounds=1)
    reports = seen[0].reports
    shares = dict.fromkeys(SITES, 1.0) if scheme.arguments["weight_by"] == "equal" else COUNTS
    wanted = {**model.weights, **mean([(shares[site], reports[site].weights) for site in SITES])}
    assert sha256(scheme.model(seen[0].memory)) == sha256(wanted)


@every_choice
def test_a_site_would_use_the_delivered_part_with_what_it_kept_and_takes_nothing_else(name, arguments, stays):
    seen, model, scheme = played(name, arguments)
    delivered = {key: torch.ones_like(value) for key, value in model.weights.items()}
    client_state = seen[-1].keeps["site-2"]
    learner = (batchnorm_learner if name == "silobn" else tiny_learner)(tiny_plan(name), "site-2")
    used = scheme.personalise(Task(delivered), learner, client_state)
    shared = model.weights.keys() - stays
    assert sha256({key: used[key] for key in shared}) == sha256({key: delivered[key] for key in shared})
    if name != "fedbabu":
        assert sha256({key: used[key] for key in stays}) == sha256(client_state["own"])
        assert sha256(scheme.personalise(Task(delivered), learner, {})) == sha256(delivered)
    assert used.keys() == model.weights.keys()


@every_choice
def test_a_lost_site_is_sent_its_start_again_and_what_it_kept_is_not_undone(name, arguments, stays):
    seen, _, _ = played(name, arguments, lost={("site-1", 0), ("site-2", 1)})
    sent = [[site for site in SITES if row.tasks[site].extra] for row in seen]
    assert sent == [SITES, ["site-1"], []]
    assert sha256(seen[0].keeps["site-2"]["own"]) == sha256(seen[1].keeps["site-2"]["own"])
    if name != "fedbabu":
        assert sha256(seen[1].keeps["site-2"]["own"]) != sha256(seen[2].keeps["site-2"]["own"])


@pytest.mark.parametrize("name", ["fedper", "fedrep", "fedbabu", "lgfedavg", "fedbn"])
def test_all_parts_start_from_the_runs_checkpoint(name):
    """A site that began from the seeded head, not the checkpoint's, would give another report."""
    scheme, plan = scheme_of(name, {}), tiny_plan(name)
    trained = tiny_learner(plan, "elsewhere").fit(first_weights(plan), epochs=3).weights
    task = scheme.assign(
        scheme.start(replace(model_of(plan.network, plan.seed, plan.rounds), weights=trained), SITES, 7), 0, SITES
    )["site-1"]
    assert sha256({**task.weights, **task.extra["own"]}) == sha256(trained)
    from_checkpoint = scheme.reply(task, tiny_learner(plan), {})[0]
    seeded = scheme.reply(Task(task.weights), tiny_learner(plan), {})[0]
    assert sha256(from_checkpoint.weights) != sha256(seeded.weights)
    check_report(seeded, task, scheme, "site-1, a new disk")


@pytest.mark.parametrize("name", ["fedper", "fedrep", "fedbabu", "lgfedavg", "fedbn", "layerwise", "ditto"])
def test_training_that_diverges_is_refused_at_the_site_before_anything_is_kept(name):
    scheme, plan = scheme_of(name, {}), tiny_plan(name)
    task = scheme.assign(scheme.start(model_of(plan.network, plan.seed, plan.rounds), SITES, 7), 0, SITES)["site-1"]
    learner = tiny_learner(plan)
    fit = learner.fit
    learner.fit = lambda weights, **asked: replace(
        fit(weights, **asked), weights={key: value * torch.nan for key, value in weights.items()}
    )
    with pytest.raises(Refused, match="holds .* NaN"):
        scheme.reply(task, learner, {})


@pytest.mark.parametrize(
    ("architecture", "head"), [("cnn", "head"), ("densenet-small", "class_layers.out"), ("efficientnet-b0", "_fc")]
)
def test_the_head_is_the_last_layer_that_holds_tensors(architecture, head):
    model = described(build(architecture, size=32), architecture)
    assert head_of(None, "x")(model) == {f"{head}.weight", f"{head}.bias"}
    assert head_of([head.split(".")[0]], "x")(model) == {f"{head}.weight", f"{head}.bias"}


@pytest.mark.parametrize("architecture", ["cnn", "densenet-small", "efficientnet-b0"])
def test_normalisation_is_found_by_type_whatever_its_name(architecture):
    assert architecture in NETWORKS
    network = build(architecture, size=32)
    wanted = {
        f"{path}.{name}"
        for path, module in network.named_modules()
        if isinstance(module, nn.GroupNorm)
        for name, _ in module.named_parameters()
    }
    assert of_kind(described(network, architecture), NORMALISATION) == wanted != set()


@pytest.mark.parametrize(
    "module",
    [nn.BatchNorm1d(4), nn.SyncBatchNorm(4), nn.GroupNorm(2, 4), nn.LayerNorm(4), nn.InstanceNorm3d(4, affine=True)],
)
def test_every_kind_of_normalisation_counts_as_one(module):
    network = nn.Sequential(nn.Linear(4, 4), module)
    assert of_kind(described(network, "x"), NORMALISATION) == {f"1.{key}" for key in module.state_dict()}


def test_a_path_takes_the_layers_below_it_and_none_whose_name_only_begins_alike():
    layers = [Layer(path, "Conv2d", (f"{path}.weight",)) for path in ("block1.conv", "block1.norm", "block10.conv")]
    model = Model({key: torch.zeros(1) for layer in layers for key in layer.keys}, tuple(layers), "three")
    assert under(model, ["block1"], "x") == {"block1.conv.weight", "block1.norm.weight"}
    assert under(model, ["block1.norm", "block10"], "x") == {"block1.norm.weight", "block10.conv.weight"}
    with pytest.raises(Refused, match=r"x names 'block', where three has no layer; known are block1\.conv, bl"):
        under(model, ["block"], "x")


def test_many_known_layers_are_not_all_listed():
    layers = tuple(Layer(f"layer{number}", "Linear", ()) for number in range(100))
    with pytest.raises(Refused, match=r"layer39 and 60 more$"):
        under(Model({}, layers), ["head"], "x")


@pytest.mark.parametrize("name", ["fedper", "fedrep", "fedbabu", "lgfedavg"])
def test_a_head_that_is_no_part_of_the_network_is_refused(name):
    model = seeded_model(tiny_plan())
    with pytest.raises(Refused, match=f"{name}: head names 'fc', where cnn has no layer; known are conv1, .*, head"):
        scheme_of(name, {"head": ["fc"]}).start(model, SITES, 0)
    with pytest.raises(Refused, match=f"{name}: head is the whole network"):
        scheme_of(name, {"head": ["conv1", "conv2", "norm1", "norm2", "head"]}).start(model, SITES, 0)
    with pytest.raises(Refused, match=f"{name} can't find the head"):
        scheme_of(name, {}).start(Model(model.weights), SITES, 0)
    with pytest.raises(Refused, match=f"{name}: head is an empty list"):
        scheme_of(name, {"head": []})
    with pytest.raises(Refused, match=f"{name}: head is 'head'; wanted a list of module paths"):
        scheme_of(name, {"head": "head"})
    with pytest.raises(Refused, match="weight_by is 'size'; wanted one of examples, equal"):
        scheme_of(name, {"weight_by": "size"})

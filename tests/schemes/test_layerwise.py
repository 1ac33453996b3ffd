"""What is true of layer-wise averaging alone."""

import pytest

from brainct.core.scheme import Task
from brainct.core.weights import sha256
from brainct.ct.model import model_of
from brainct.errors import Refused
from brainct.schemes.fedavg import fedavg
from brainct.schemes.layerwise import layerwise
from tests.conftest import first_weights, seeded_model, tiny_learner, tiny_plan
from tests.support.by_hand import COUNTS, SITES, play

LAYERS = ["conv1", "norm1", "conv2", "norm2", "head"]
ALL = [{}, {"layers": LAYERS}, {"depth": 5}, {"depth": -5}]


@pytest.mark.parametrize("arguments", ALL)
def test_all_layers_is_fedavg_to_the_bit(arguments):
    plan, scheme = tiny_plan(), layerwise(**arguments)
    ours, theirs = play(scheme, plan), play(fedavg(), plan)
    assert sha256(scheme.model(ours[-1].memory)) == sha256(theirs[-1].memory["weights"])
    assert [task.extra for row in ours for task in row.tasks.values()] == [{}] * 9


def test_no_layer_is_local_training_to_the_bit_and_nothing_travels_after_the_start():
    plan, scheme = tiny_plan(), layerwise(layers=[])
    seen = play(scheme, plan)
    for site in SITES:
        alone = first_weights(plan)
        for number in range(3):
            alone = tiny_learner(plan, site, number, scans=COUNTS[site]).fit(alone).weights
        used = scheme.personalise(Task(scheme.model(seen[-1].memory)), tiny_learner(plan, site), seen[-1].keeps[site])
        assert sha256(used) == sha256(alone)
    assert all(not task.weights and not task.extra for row in seen[1:] for task in row.tasks.values())
    assert all(not report.weights for row in seen for report in row.reports.values())


@pytest.mark.parametrize(
    ("arguments", "chosen"),
    [
        ({"depth": 1}, ["conv1"]),
        ({"depth": 3}, ["conv1", "norm1", "conv2"]),
        ({"depth": -1}, ["head"]),
        ({"depth": -2}, ["norm2", "head"]),
        ({"layers": ["norm1", "head"]}, ["norm1", "head"]),
    ],
)
def test_the_chosen_layers_alone_are_averaged(arguments, chosen):
    plan = tiny_plan()
    keys = {key for key in model_of(plan.network, plan.seed, plan.rounds).weights if key.split(".")[0] in chosen}
    last = play(layerwise(**arguments), plan)[-1]
    assert set(last.memory["shared"]) == keys
    assert all(not keys & set(last.keeps[site]["own"]) for site in SITES)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"layers": ["head"], "depth": 1}, "wanted one of them, or neither for all"),
        ({"depth": 0}, "depth is 0; wanted k > 0 for the first k layers or k < 0 for the last -k"),
        ({"depth": 1.0}, "depth is 1.0; wanted k > 0"),
        ({"depth": True}, "depth is True; wanted k > 0"),
        ({"layers": "head"}, "layers is 'head'; wanted a list of module paths"),
        ({"weight_by": "size"}, "weight_by is 'size'"),
    ],
)
def test_a_choice_out_of_range_is_refused(arguments, words):
    with pytest.raises(Refused, match=words):
        layerwise(**arguments)


@pytest.mark.parametrize("depth", [6, -6])
def test_more_layers_than_there_are_are_refused_at_the_start(depth):
    with pytest.raises(Refused, match=f"depth is {depth}; cnn has 5 layers that hold tensors"):
        layerwise(depth=depth).start(seeded_model(tiny_plan()), SITES, 0)


def test_a_layer_that_is_not_there_is_refused_with_those_known():
    with pytest.raises(
        Refused, match="layerwise: layers names 'conv3', where cnn has no layer; known are conv1, norm1"
    ):
        layerwise(["conv3"]).start(seeded_model(tiny_plan()), SITES, 0)

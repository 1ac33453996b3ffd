"""What is true of averaging the last rounds' models alone."""

from dataclasses import replace

import pytest
import torch

from brainct.errors import Refused
from brainct.schemes import build
from brainct.schemes.fedavg import fedavg
from brainct.schemes.feddc import feddc
from brainct.schemes.fedexp import fedexp
from brainct.schemes.sitenorm import sitenorm
from brainct.schemes.swa import swa
from tests.conftest import seeded_model, tiny_plan
from tests.support.quadratic import run, sites_that_differ


def models(inner, rounds):
    """The inner scheme's model after each round, run without a wrapper."""
    return [inner.model(run(inner, sites_that_differ(), number + 1)[0])["w"] for number in range(rounds)]


@pytest.mark.parametrize("inner", [fedavg(), fedexp(), feddc(1, 3)], ids=lambda inner: inner.name)
@pytest.mark.parametrize(
    ("begin", "every", "counted"), [(0, 1, [0, 1, 2, 3, 4, 5, 6]), (3, 1, [3, 4, 5, 6]), (2, 3, [2, 5])]
)
def test_it_gives_out_the_plain_mean_of_the_inner_models_from_a_round_on(inner, begin, every, counted):
    scheme, found = swa(inner, begin, every), models(inner, 7)
    wanted = torch.stack([found[number] for number in counted]).mean(0)
    torch.testing.assert_close(scheme.model(run(scheme, sites_that_differ(), 7)[0])["w"], wanted, rtol=0, atol=1e-12)


def test_sites_train_on_from_the_inner_model_and_not_from_the_mean():
    scheme = swa(fedavg(), begin=1)
    memory, _ = run(scheme, sites_that_differ(), 5)
    task = scheme.assign(memory, 5, ["site-1"])["site-1"]
    assert torch.equal(task.weights["w"], models(fedavg(), 5)[-1])
    assert not torch.equal(task.weights["w"], scheme.model(memory)["w"])


def test_what_goes_with_the_inner_model_goes_with_the_mean():
    inner = replace(fedavg(), extra=lambda memory: {"seed": memory["seed"]})
    memory, _ = run(swa(inner), sites_that_differ(), 1)
    assert swa(inner).extra(memory) == inner.extra(memory["inner"]) == {"seed": 0}


def test_before_its_first_round_it_gives_out_the_inner_model():
    for begin, rounds in ((4, 4), (4, 1), (1, 0)):
        scheme = swa(fedavg(), begin)
        inner = fedavg().model(run(fedavg(), sites_that_differ(), rounds)[0])
        assert torch.equal(scheme.model(run(scheme, sites_that_differ(), rounds)[0])["w"], inner["w"])


def test_a_job_states_the_inner_scheme_by_name_and_it_is_recorded_in_full():
    scheme = build("swa", {"inner": {"scheme": "feddc", "arguments": {"daisy_period": 2}}, "begin": 3})
    assert scheme.arguments["inner"]["arguments"]["daisy_period"] == 2
    assert scheme.arguments["inner"]["arguments"]["aggregation_period"] == 10
    assert swa().arguments["inner"]["scheme"] == "fedavg"
    assert build("swa", scheme.arguments).arguments == scheme.arguments


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"inner": "fedavg"}, "inner is 'fedavg'; wanted"),
        ({"begin": -1}, "begin is -1; wanted a whole number of at least 0"),
        ({"begin": 0.75}, "begin is 0.75; wanted a whole number"),
        ({"every": 0}, "every is 0; wanted a whole number of at least 1"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, words):
    with pytest.raises(Refused, match=f"swa: {words}"):
        swa(**arguments)


@pytest.mark.parametrize(("rounds", "counted"), [(8, [6, 7]), (30, list(range(22, 30))), (1, [0])])
def test_by_default_the_last_quarter_of_the_runs_rounds_counts(rounds, counted):
    memory = swa().start(seeded_model(tiny_plan(rounds=rounds)), ["site-1"], 0)
    assert list(range(memory["begin"], rounds)) == counted


def test_a_begin_that_the_run_never_reaches_is_refused_at_start():
    swa(begin=7).start(seeded_model(tiny_plan(rounds=8)), ["site-1"], 0)
    with pytest.raises(Refused, match="swa: begin is 8, but the run has 8 rounds"):
        swa(begin=8).start(seeded_model(tiny_plan(rounds=8)), ["site-1"], 0)


@pytest.mark.parametrize("inner", ["fedma", "sitenorm"])
def test_models_whose_units_change_places_are_not_averaged(inner):
    arguments = {} if inner == "fedma" else {"inner": build("fedma", {})}
    with pytest.raises(Refused, match="swa: inner is fedma or contains it"):
        swa(build("fedma", {}) if inner == "fedma" else sitenorm(**arguments))

"""What every scheme's refusal of an argument out of range rests on."""

import math

import pytest

from brainct.ct.model import model_of
from brainct.errors import Refused
from brainct.schemes import SCHEMES
from brainct.schemes._ranges import number, whole
from tests.conftest import tiny_learner, tiny_plan


@pytest.mark.parametrize(
    ("value", "range", "words"),
    [
        (-0.1, {"least": 0}, "wanted a finite number at least 0"),
        (0, {"above": 0}, "wanted a finite number above 0"),
        (1.1, {"above": 0, "most": 1}, "wanted a finite number above 0 and at most 1"),
        (1.0, {"least": 0, "below": 1}, "wanted a finite number at least 0 and below 1"),
        (math.nan, {"least": 0}, "mu is nan"),
        (math.inf, {"above": 0}, "mu is inf"),
        (True, {"least": 0}, "mu is True"),
        ("0.1", {"least": 0}, "mu is '0.1'"),
    ],
)
def test_a_number_out_of_range_is_refused_with_what_was_got_and_wanted(value, range, words):
    with pytest.raises(Refused, match=f"fedx: mu is .*{words}|{words}"):
        number("fedx: mu", value, **range)


@pytest.mark.parametrize(
    ("value", "range"), [(0, {"least": 0}), (1, {"most": 1}), (0.999, {"below": 1}), (1e-9, {"above": 0})]
)
def test_a_number_in_range_comes_back(value, range):
    assert number("fedx: mu", value, **range) == value


@pytest.mark.parametrize("value", [-1, 1.0, True, "2", None])
def test_what_is_no_whole_number_of_at_least_the_least_is_refused(value):
    with pytest.raises(Refused, match=r"swa: begin is .*; wanted a whole number of at least 0"):
        whole("swa: begin", value, 0)
    assert whole("swa: begin", 3, 3) == 3


@pytest.mark.parametrize("name", ["fednova", "scaffold"])
@pytest.mark.parametrize(
    ("fit", "words"),
    [
        ({"optimizer": "adam"}, "adam"),
        ({"optimizer": "adamw"}, "adamw"),
        ({"momentum": 0.9}, "sgd with momentum 0.9"),
        ({"optimizer": "adam", "momentum": 0.9}, "adam"),
    ],
)
def test_what_is_derived_for_plain_sgd_refuses_another_optimiser(name, fit, words):
    plan, scheme = tiny_plan(name, fit=fit), SCHEMES[name]()
    task = scheme.assign(scheme.start(model_of(plan.network, plan.seed, plan.rounds), ["site-1"], 0), 0, ["site-1"])[
        "site-1"
    ]
    with pytest.raises(Refused, match=f"^{name} is derived for plain SGD, but training ran with {words};"):
        scheme.reply(task, tiny_learner(plan), {})

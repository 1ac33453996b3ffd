"""Schemes that are derived for plain SGD refuse what another optimiser gave."""

import pytest

from brainct.errors import Refused
from brainct.schemes import SCHEMES
from tests.conftest import seeded_model, tiny_learner, tiny_plan


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
    task = scheme.assign(scheme.start(seeded_model(plan), ["site-1"], 0), 0, ["site-1"])["site-1"]
    with pytest.raises(Refused, match=f"^{name} is derived for plain SGD, but training ran with {words};"):
        scheme.reply(task, tiny_learner(plan), {})

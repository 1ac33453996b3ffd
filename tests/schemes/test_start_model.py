"""A start model is what every scheme's sites train first, or the scheme refuses it."""

from dataclasses import replace

import pytest
import torch

from brainct.errors import Refused
from brainct.schemes import SCHEMES
from brainct.schemes._codes import decoded, encoded, flat, shaped
from brainct.schemes.bf16 import halved
from tests.conftest import tiny_learner, tiny_model, tiny_plan
from tests.support import by_hand
from tests.support.by_hand import sites_of
from tests.support.families import TRAINING

REFUSE = {"fedct": "only labels travel"}


def noting(learner, seen):
    """The learner; `seen` gets the weights that it is first asked to train or to look at."""

    def first(call):
        def noted(weights, *words, **choices):
            seen.setdefault(learner.site, dict(weights))
            return call(weights, *words, **choices)

        return noted

    for name in ("fit", "gradient", "observe"):
        setattr(learner, name, first(getattr(learner, name)))
    real = learner.adapted
    learner.adapted = lambda *words, **choices: noting(real(*words, **choices), seen)
    return learner


ROUNDED = {"bf16": halved, "turns": lambda weights: shaped(decoded(*encoded(flat(weights))), weights)}
"""What becomes of weights on their way to the sites, for schemes that round them."""


@pytest.mark.parametrize("name", TRAINING)
def test_every_site_begins_with_the_start_model_or_the_scheme_refuses_it(name):
    plan, sites, seen = tiny_plan(name), sites_of(name), {}
    seeded = tiny_model(plan)
    given = replace(seeded, weights={key: value + 0.5 for key, value in seeded.weights.items()}, given=True)

    def learner(plan, site, round, scans):
        return noting(tiny_learner(plan, site, round, scans=scans), seen)

    choices = {"model": given, "sites": sites, "counts": {}, "learner": learner}
    if name in REFUSE:
        with pytest.raises(Refused, match=REFUSE[name]):
            by_hand.play(SCHEMES[name](), plan, 1, **choices)
        return
    for _ in by_hand.rounds(SCHEMES[name](), plan, len(sites) + 2, **choices):
        if seen.keys() == set(sites):
            break
    first = next(iter(seen.values()))
    assert seen.keys() == set(sites) or name in ("cyclic", "turns")
    assert first.keys() == given.weights.keys()
    travelled = ROUNDED.get(name, dict)(given.weights)
    assert all(torch.equal(first[key], value.float()) for key, value in travelled.items())


def test_a_site_of_local_that_was_lost_gets_the_start_model_in_the_next_round():
    plan, seen = tiny_plan("local"), {}
    seeded = tiny_model(plan)
    given = replace(seeded, weights={key: value + 0.5 for key, value in seeded.weights.items()}, given=True)
    played = by_hand.play(
        SCHEMES["local"](),
        plan,
        3,
        model=given,
        lost=[("site-2", 0)],
        learner=lambda plan, site, round, scans: noting(tiny_learner(plan, site, round, scans=scans), seen),
    )
    assert all(torch.equal(seen["site-2"][key], value) for key, value in given.weights.items())
    assert ["start" in row.tasks["site-1"].extra for row in played] == [True, True, False]

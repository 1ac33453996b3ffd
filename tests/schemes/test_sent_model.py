"""What a scheme says of the models that sites send: each is one that the site trained, whole, and none is missed."""

import pytest
import torch

from brainct.schemes import SCHEMES, build
from tests.conftest import tiny_learner, tiny_model, tiny_plan
from tests.support import by_hand
from tests.support.by_hand import sites_of
from tests.support.families import TRAINING

NEVER = {
    *("fedbabu", "fedbn", "fedct", "fedma", "fedper", "fedrep", "fedsgd", "layerwise", "lgfedavg", "local"),
    *("minibatch", "ridge", "secagg", "silobn", "turns"),
}
"""Schemes whose sites send a part, a gradient, votes, sums or nothing."""
AT_TIMES = {"fedma", "layerwise", "silobn"}
"""Of these, those that send the whole network in some rounds or with some networks, and a part of it in others."""
ROUNDED = {"bf16": 2.0**-8}


def watched(learner, found):
    """The learner, which adds every model that it trained to `found`."""
    real, adapted = learner.fit, learner.adapted

    def fit(*words, **choices):
        fitted = real(*words, **choices)
        found.append(fitted.weights)
        return fitted

    learner.fit = fit
    learner.adapted = lambda *words, **choices: watched(adapted(*words, **choices), found)
    return learner


def same(name, one, other):
    return one.keys() == other.keys() and all(
        torch.allclose(one[key].double(), other[key].double(), rtol=ROUNDED.get(name, 0), atol=0) for key in one
    )


@pytest.mark.parametrize("name", TRAINING)
def test_the_model_that_a_report_is_said_to_be_is_what_the_site_trained(name):
    scheme, plan, trained = SCHEMES[name](), tiny_plan(name), {}

    def learner(plan, site, round, scans):
        return watched(tiny_learner(plan, site, round, scans=scans), trained.setdefault((site, round), []))

    sites = sites_of(name)
    rows = by_hand.play(scheme, plan, 3, model=tiny_model(plan), sites=sites, counts={}, learner=learner)
    whole, seen = scheme.model(rows[-1].memory), 0
    for number, row in enumerate(rows):
        for site, report in row.reports.items():
            if scheme.sent_model is None:
                found = trained.get((site, number), [])
                assert name in AT_TIMES or not any(same(name, report.weights, one) for one in found)
                continue
            model = scheme.sent_model(row.tasks[site], report)
            if model:
                assert {key: value.shape for key, value in model.items()} == {k: v.shape for k, v in whole.items()}
                assert any(same(name, model, one) for one in trained[site, number]), (name, site, number)
                seen += 1
    assert (scheme.sent_model is None) == (name in NEVER)
    assert seen or name in NEVER


def test_rounds_of_rebasin_that_only_measure_send_no_model():
    assert build("rebasin", {"repair": True}).sent_model is None


@pytest.mark.parametrize("outer", ["swa", "sitenorm", "headstart", "bf16"])
def test_a_wrapper_sends_whole_models_where_what_it_wraps_does(outer):
    assert build(outer, {"inner": {"scheme": "fedper"}}).sent_model is None
    assert build(outer, {"inner": {"scheme": "feddc"}}).sent_model is not None

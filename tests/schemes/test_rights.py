"""What a scheme's row says of secure aggregation and of noise is true of what its sites send."""

from dataclasses import replace

import pytest
import torch

from brainct.schemes import SCHEMES, about
from tests.conftest import tiny_plan
from tests.support.by_hand import play, sites_of
from tests.support.families import TRAINING

SUMMED = sorted(name for name in TRAINING if "secure_aggregation" not in about(name).blocks)
NOISED = sorted(name for name in TRAINING if "update_noise" not in about(name).blocks)


def rounds(name, count=2, **choices):
    """(tasks, reports) of each round, and at last the model."""
    scheme = SCHEMES[name]()
    rows = play(scheme, tiny_plan(name), count, sites=sites_of(name), counts={}, **choices)
    return [(row.tasks, row.reports) for row in rows], scheme.model(rows[-1].memory)


def passed_on(reports):
    """The reports after the first site handed a part of what it sends to the second: the sum is as it was."""
    first, second = sorted(reports)[:2]
    part = {key: torch.full_like(value, 0.01) for key, value in reports[first].weights.items()}
    return {
        **reports,
        first: replace(reports[first], weights={k: v - part[k] for k, v in reports[first].weights.items()}),
        second: replace(reports[second], weights={k: v + part[k] for k, v in reports[second].weights.items()}),
    }


@pytest.mark.parametrize("name", SUMMED)
def test_where_secure_aggregation_is_possible_the_sum_is_all_that_counts(name):
    _, model = rounds(name)
    _, other = rounds(name, change=passed_on)
    for key, value in model.items():
        torch.testing.assert_close(other[key], value, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["median", "krum", "geometric_median", "fedexp"])
def test_where_it_is_not_the_sum_alone_is_not_enough(name):
    _, model = rounds(name)
    _, other = rounds(name, change=passed_on)
    assert any(not torch.allclose(other[key], value, atol=1e-4) for key, value in model.items())


@pytest.mark.parametrize("name", NOISED)
def test_where_noise_is_possible_a_site_sends_an_update_and_counts(name):
    for tasks, reports in rounds(name)[0]:
        for site, report in reports.items():
            shapes = {key: value.shape for key, value in tasks[site].weights.items()}
            assert not report.weights or {key: value.shape for key, value in report.weights.items()} == shapes
            assert all(type(value) is int for value in report.extra.values())

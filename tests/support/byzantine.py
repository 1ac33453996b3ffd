"""Federations with Byzantine sites, for the tests of the robust schemes."""

import torch

from brainct.core.learner import Model
from brainct.core.scheme import Report

FACTORS = [1e30, -1e30, 1e6, 0.0]
"""How far off the models of Byzantine sites are."""


def model(*numbers, steps=1):
    """A matrix, a bias and a counter; the first two floating, 2 x 2 and 1."""
    values = torch.tensor(numbers, dtype=torch.float32)
    return {"matrix": values[:4].view(2, 2), "bias": values[4:], "steps": torch.tensor(steps)}


def honest(count, seed=0, spread=1.0, around=5.0):
    """Models that differ a little."""
    rng = torch.Generator().manual_seed(seed)
    return [model(*(around + spread * torch.randn(5, generator=rng))) for _ in range(count)]


def byzantine(factor, count, seed=1):
    """Models of Byzantine sites: numbers about the factor, no two models the same."""
    rng = torch.Generator().manual_seed(seed)
    return [model(*(factor * (1 + torch.rand(5, generator=rng)) - index)) for index in range(count)]


def close_a_round(scheme, models, previous=None, number=0, seed=3, lost=0):
    """What the scheme makes of these reports, sites in the order given and all asked; by default from all fives.

    lost: so many of the last reports do not arrive.
    """
    sites = [f"site-{index:02}" for index in range(len(models))]
    memory = scheme.start(Model(previous or model(*[5.0] * 5)), sites, seed)
    assert list(scheme.assign(memory, number, sites)) == sites
    reports = {
        site: Report(weights, 10**index) for index, (site, weights) in enumerate(zip(sites, models, strict=True))
    }
    arrived = {site: reports[site] for site in sites[: len(sites) - lost]}
    return scheme.model(scheme.combine(memory, number, arrived))


def flat(weights):
    """The floating numbers of a model, in float64."""
    return torch.cat([weights[key].double().reshape(-1) for key in ("matrix", "bias")])


def within(result, models):
    """Whether each coordinate lies between the models' least and largest."""
    stack = torch.stack([flat(weights) for weights in models])
    return bool(((flat(result) >= stack.amin(0)) & (flat(result) <= stack.amax(0))).all())


def same(left, right):
    """Bit-identical, in every tensor."""
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)

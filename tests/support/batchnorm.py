"""A network with BatchNorm, which no network of the package has."""

import torch
from torch import nn

from brainct.ct.learner import learner_of
from brainct.security.credentials import offline
from tests.conftest import tiny_scans

STATISTICS = {"1.running_mean", "1.running_var", "1.num_batches_tracked"}


def batchnorm_network():
    """Convolution, BatchNorm, head: no network here has a BatchNorm, so one is built for those who look for it."""
    torch.manual_seed(3)
    parts = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 6))
    return nn.Sequential(*parts)


def batchnorm_learner(plan, site="site-1", round=0, **scans):
    context = offline(plan, site, round)
    return learner_of(plan, tiny_scans(sum(site.encode()), **scans), context, batchnorm_network())

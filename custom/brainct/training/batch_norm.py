"""What a federation does with BatchNorm, whose statistics belong to the batches of one site."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from brainct.errors import Refused

RULE = "batch_norm"
"""The option of a network that names the rule."""

RULES = ("refuse", "group", "frozen")
MOST_GROUPS = 8


class FrozenBatchNorm(nn.Module):
    """BatchNorm with fixed statistics: (x - mean) / sqrt(variance + eps) * weight + bias, the same in training.

    weight and bias are trained as in BatchNorm; mean 0 and variance 1 until weights of a trained network are loaded.
    State keys are BatchNorm's, without num_batches_tracked.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, features: int, eps: float):
        super().__init__()
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.ones(features)), nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C, ...) to the same shape."""
        shape = (1, -1, *(1,) * (inputs.ndim - 2))
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        return inputs * scale.view(shape) + (self.bias - self.running_mean * scale).view(shape)


def without_batch_statistics(network: nn.Module, rule: Any, name: str) -> nn.Module:
    """The network with each BatchNorm treated by the rule; it is changed in place.

    refuse: as it is, so that a network with BatchNorm is refused later by the names of its layers. group: GroupNorm of
    at most MOST_GROUPS groups that divide the channels, with BatchNorm's weight and bias: statistics are each scan's
    own (Wu, He, ECCV 2018), and outputs of trained weights move; see `moved`. frozen: statistics stay as they were in
    the start model.
    """
    if rule not in RULES:
        raise Refused(f"{name}: {RULE} is {rule!r:.80}; wanted {', '.join(RULES)}")
    if rule != "refuse":
        _replace(network, _grouped if rule == "group" else _frozen)
    return network


def moved(network: nn.Module, changed: nn.Module, inputs: Tensor) -> float:
    """How far the rule moved the outputs: the largest |difference| over the standard deviation of the outputs."""
    with torch.inference_mode():
        before, after = network.eval()(inputs), changed.eval()(inputs)
    return float((after - before).abs().max() / before.std().clamp_min(1e-12))


def _replace(module: nn.Module, make: Any) -> None:
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, make(child))
        else:
            _replace(child, make)


def _grouped(old: _BatchNorm) -> nn.GroupNorm:
    channels = old.num_features
    groups = max(one for one in range(1, MOST_GROUPS + 1) if channels % one == 0)
    new = nn.GroupNorm(groups, channels, old.eps)
    _copy_affine(new, old)
    return new


def _frozen(old: _BatchNorm) -> FrozenBatchNorm:
    new = FrozenBatchNorm(old.num_features, old.eps)
    _copy_affine(new, old)
    if old.running_mean is not None and old.running_var is not None:
        new.running_mean.copy_(old.running_mean)
        new.running_var.copy_(old.running_var)
    return new


def _copy_affine(new: nn.GroupNorm | FrozenBatchNorm, old: _BatchNorm) -> None:
    if old.affine:
        with torch.no_grad():
            new.weight.copy_(old.weight)
            new.bias.copy_(old.bias)

"""What a federation does with BatchNorm, whose statistics belong to the batches of one site."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from brainct.errors import Refused

RULE = "batch_norm"
"""The option of a network that names the rule."""

RULES = ("refuse", "group", "frozen", "silo")
MOST_GROUPS = 8


class FrozenBatchNorm(nn.Module):
    """BatchNorm with fixed statistics: (x - mean) / sqrt(variance + eps) * weight + bias, the same in training.

    weight and bias are trained as in BatchNorm; mean 0 and variance 1 until weights of a trained network are loaded.
    State keys are BatchNorm's, without num_batches_tracked.
    """

    running_mean: Tensor
    running_var: Tensor
    measuring = False

    def __init__(self, features: int, eps: float):
        super().__init__()
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.ones(features)), nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C, ...) to the same shape."""
        if self.measuring:
            self.running_mean, self.running_var = _statistics(inputs)
        shape = (1, -1, *(1,) * (inputs.ndim - 2))
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        return inputs * scale.view(shape) + (self.bias - self.running_mean * scale).view(shape)


class SiloBatchNorm(FrozenBatchNorm):
    """BatchNorm whose running statistics are its site's: by the batch in training, by the running ones otherwise.

    momentum: share of a batch in the running statistics. A batch with one value a channel, of which there is no
    variance, is normalised by the running ones.
    """

    def __init__(self, features: int, eps: float, momentum: float = 0.1):
        super().__init__(features, eps)
        self.momentum = momentum

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C, ...) to the same shape."""
        several = inputs.numel() > inputs.shape[1]
        if self.measuring or not self.training or not several:
            return super().forward(inputs)
        named = (self.running_mean, self.running_var, self.weight, self.bias, True, self.momentum, self.eps)
        return torch.nn.functional.batch_norm(inputs, *named)


def has_statistics(network: nn.Module) -> bool:
    """Whether the network normalises by statistics that belong to a site's scans."""
    return any(isinstance(part, FrozenBatchNorm) for part in network.modules())


@torch.no_grad()
def measure_statistics(network: nn.Module, inputs: Tensor) -> None:
    """Set the statistics of all layers, from the first on, to those of these inputs; no label is needed.

    Li, Wang, Shi, Liu, Hou: Revisiting Batch Normalization for Practical Domain Adaptation, ICLR Workshop 2017. inputs:
    (N, C, ...), all at once: the statistics of a layer depend on those of the layers before it.
    """
    parts = [part for part in network.modules() if isinstance(part, FrozenBatchNorm)]
    for part in parts:
        part.measuring = True
    try:
        network.eval()(inputs)
    finally:
        for part in parts:
            part.measuring = False


def _statistics(inputs: Tensor) -> tuple[Tensor, Tensor]:
    over = [0, *range(2, inputs.ndim)]
    variance, mean = torch.var_mean(inputs, over, correction=0)
    return mean, variance


def without_batch_statistics(network: nn.Module, rule: Any, name: str) -> nn.Module:
    """The network with each BatchNorm treated by the rule; it is changed in place.

    refuse: as it is, so that a network with BatchNorm is refused later by the names of its layers. group: GroupNorm of
    at most MOST_GROUPS groups that divide the channels, with BatchNorm's weight and bias: statistics are each scan's
    own (Wu, He, ECCV 2018), and outputs of trained weights move; see `moved`. frozen: statistics stay as they were in
    the start model. silo: each site has statistics of its own, which a scheme must leave there; see SiloBatchNorm.
    """
    if rule not in RULES:
        raise Refused(f"{name}: {RULE} is {rule!r:.80}; wanted {', '.join(RULES)}")
    if rule != "refuse":
        _replace(network, {"group": _grouped, "frozen": _frozen, "silo": _silo}[rule])
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
    return _with_statistics(FrozenBatchNorm(old.num_features, old.eps), old)


def _silo(old: _BatchNorm) -> FrozenBatchNorm:
    return _with_statistics(SiloBatchNorm(old.num_features, old.eps), old)


def _with_statistics(new: FrozenBatchNorm, old: _BatchNorm) -> FrozenBatchNorm:
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

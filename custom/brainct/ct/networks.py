"""The networks that a federation can train: a logit for each finding, never a BatchNorm, seeded initial weights."""

import inspect
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from brainct.core.weights import Weights
from brainct.ct.folds import FINDINGS
from brainct.errors import Refused
from brainct.training.networks import seeded, without_batchnorm

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Network:
    """An architecture: make(channels, dims, outputs, *, options) gives the module, smallest(options) its least edge.

    options_of(weights): the options that the shapes of a state dict tell; none where a scheme can't change widths.
    """

    make: Callable[..., nn.Module]
    smallest: Callable[[Options], int]
    options_of: Callable[[Weights], Options] = lambda weights: {}

    def options(self) -> dict[str, Any]:
        """The options by name with their defaults: whole numbers >= 1, or tuples of them."""
        parameters = inspect.signature(self.make).parameters.values()
        return {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}


def build(
    name: str = "densenet-small",
    channels: int = 3,
    size: int = 96,
    dims: int = 2,
    seed: int | None = 0,
    outputs: int = len(FINDINGS),
    **options: Any,
) -> nn.Module:
    """A network from (N, channels, size, size[, size]) to (N, outputs) logits in the order of the job's findings.

    The same name, options and seed give the same weights on one machine, and torch's global random state is left as it
    was. With seed None the weights are drawn from that global state. Refuses what no network could be built from.
    """
    network = NETWORKS.get(name)
    if network is None:
        raise Refused(f"network is {name!r}; choose one of {', '.join(NETWORKS)}")
    _check_shape(channels, dims)
    _check_options(name, network.options(), options)
    chosen = network.options() | options
    smallest = network.smallest(chosen)
    if size < smallest:
        raise Refused(f"size is {size}; {name} with these options needs at least {smallest} pixels an edge")
    return without_batchnorm(seeded(seed, partial(_made, name, network, channels, dims, outputs, chosen)), name)


def _densenet(
    channels: int,
    dims: int,
    outputs: int,
    *,
    features: int = 64,
    growth: int = 32,
    blocks: Sequence[int] = (6, 12, 24, 16),
    bottleneck: int = 4,
    groups: int = 8,
) -> nn.Module:
    """MONAI's DenseNet (Huang et al., CVPR 2017) with GroupNorm; growth: k; bottleneck: width of 1x1 layers over k."""
    from monai.networks.nets import DenseNet

    network: nn.Module = DenseNet(
        spatial_dims=dims,
        in_channels=channels,
        out_channels=outputs,
        init_features=features,
        growth_rate=growth,
        block_config=blocks,
        bn_size=bottleneck,
        norm=("group", {"num_groups": groups}),
    )
    return network


def _densenet_edge(options: Options) -> int:
    """The stem divides the edge by four, rounding up; each transition halves it, rounding down, and must leave one."""
    halvings = len(options["blocks"]) - 1
    return int(4 * 2**halvings - 3)


def _efficientnet(channels: int, dims: int, outputs: int, *, groups: int = 8) -> nn.Module:
    """MONAI's EfficientNet-B0 with GroupNorm and without its dropout and drop-connect.

    Those two are off because they draw from torch's global random state, one draw a batch: a site's result would depend
    on what ran before it in the process. Augmentation is where this project puts its noise.
    """
    from monai.networks.nets import EfficientNetBN
    from monai.networks.nets.efficientnet import MBConvBlock

    network: nn.Module = EfficientNetBN(
        "efficientnet-b0",
        pretrained=False,
        spatial_dims=dims,
        in_channels=channels,
        num_classes=outputs,
        norm=("group", {"num_groups": groups}),
    )
    for part in network.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        if isinstance(part, MBConvBlock):
            part.drop_connect_rate = 0.0
    return network


def _cnn(
    channels: int, dims: int, outputs: int, *, widths: Sequence[int] = (16, 32, 64, 128), groups: int = 8
) -> nn.Module:
    """For each width convolution 3, GroupNorm, ReLU, max-pooling by 2; then the mean over space and a linear head."""
    conv, pool = (nn.Conv2d, nn.MaxPool2d) if dims == 2 else (nn.Conv3d, nn.MaxPool3d)
    network = nn.Sequential()
    for depth, (before, after) in enumerate(zip((channels, *widths), widths, strict=False), 1):
        network.add_module(f"conv{depth}", conv(before, after, 3, padding=1, bias=False))
        network.add_module(f"norm{depth}", nn.GroupNorm(groups, after))
        network.add_module(f"relu{depth}", nn.ReLU())
        network.add_module(f"pool{depth}", pool(2))
    network.add_module("mean", nn.AdaptiveAvgPool2d(1) if dims == 2 else nn.AdaptiveAvgPool3d(1))
    network.add_module("flat", nn.Flatten())
    network.add_module("head", nn.Linear(widths[-1], outputs))
    return network


class Fourier(nn.Module):
    """(N, inputs) to (N, features): sqrt(2/features) cos(x omega + phase); omega and phase are drawn, never trained.

    Rahimi, Recht: Random Features for Large-Scale Kernel Machines, NeurIPS 2007: inner products approximate a Gaussian
    kernel of width 1.
    """

    omega: Tensor
    phase: Tensor

    def __init__(self, inputs: int, features: int):
        super().__init__()
        self.register_buffer("omega", torch.randn(inputs, features))
        self.register_buffer("phase", torch.rand(features) * 2 * torch.pi)

    def forward(self, x: Tensor) -> Tensor:
        """The features."""
        return torch.cos(x @ self.omega + self.phase) * math.sqrt(2 / len(self.phase))


def _cnn_fourier(
    channels: int,
    dims: int,
    outputs: int,
    *,
    widths: Sequence[int] = (16, 32, 64, 128),
    groups: int = 8,
    fourier: int = 5,
) -> nn.Module:
    """`cnn` whose head reads a few random Fourier features in place of all: a linear model of few numbers a finding."""
    body = list(_cnn(channels, dims, outputs, widths=widths, groups=groups).named_children())[:-1]
    network = nn.Sequential(OrderedDict(body))
    network.add_module("fourier", Fourier(widths[-1], fourier))
    network.add_module("head", nn.Linear(fourier, outputs))
    return network


def _vgg(
    channels: int, dims: int, outputs: int, *, widths: Sequence[int] = (16, 32, 64), hidden: int = 64, grid: int = 3
) -> nn.Module:
    """A plain chain without normalisation: convolution 3, ReLU, max-pooling by 2 for each width; then the maxima of
    `grid` cells an edge, flattened; linear to `hidden`, ReLU, linear head. He initialisation, so that it trains."""
    conv, pool = (nn.Conv2d, nn.MaxPool2d) if dims == 2 else (nn.Conv3d, nn.MaxPool3d)
    network = nn.Sequential()
    for depth, (before, after) in enumerate(zip((channels, *widths), widths, strict=False), 1):
        network.add_module(f"conv{depth}", conv(before, after, 3, padding=1))
        network.add_module(f"relu{depth}", nn.ReLU())
        network.add_module(f"pool{depth}", pool(2))
    network.add_module("cells", nn.AdaptiveMaxPool2d(grid) if dims == 2 else nn.AdaptiveMaxPool3d(grid))
    network.add_module("flat", nn.Flatten())
    network.add_module("hidden", nn.Linear(widths[-1] * grid**dims, hidden))
    network.add_module("relu", nn.ReLU())
    network.add_module("head", nn.Linear(hidden, outputs))
    for part in network:
        if isinstance(part, nn.Linear | nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            nn.init.zeros_(part.bias)  # type: ignore[arg-type]
    return network


def _vgg_options(weights: Weights) -> Options:
    convs = [key for key in weights if key.startswith("conv") and key.endswith("weight")]
    widths = [len(weights[key]) for key in sorted(convs, key=lambda key: int(key[4:].partition(".")[0]))]
    return {"widths": widths, "hidden": len(weights["hidden.weight"])}


NETWORKS: dict[str, Network] = {
    "densenet-small": Network(
        partial(_densenet, features=16, growth=8, blocks=(2, 4, 4, 2), bottleneck=2, groups=4), _densenet_edge
    ),
    "densenet121": Network(_densenet, _densenet_edge),
    "efficientnet-b0": Network(_efficientnet, lambda options: 32),
    "cnn": Network(_cnn, lambda options: int(2 ** len(options["widths"]))),
    "cnn-fourier": Network(_cnn_fourier, lambda options: int(2 ** len(options["widths"]))),
    "vgg-small": Network(_vgg, lambda options: int(2 ** len(options["widths"])), _vgg_options),
}
"""Every network there is. MONAI's resnet18 is not: told to use GroupNorm, it keeps 19 of its 20 BatchNorms."""


def _check_shape(channels: int, dims: int) -> None:
    if dims not in (2, 3):
        raise Refused(f"dims is {dims}; a network reads slices (2) or volumes (3)")
    if channels < 1:
        raise Refused(f"channels is {channels}; a network reads at least 1 channel")


def _check_options(name: str, defaults: Options, options: Options) -> None:
    """A list is as good as a tuple, as JSON knows lists only."""
    for key, value in options.items():
        if key not in defaults:
            raise Refused(f"{name} has no option {key!r}; it knows {', '.join(defaults)}")
        several = isinstance(defaults[key], tuple)
        parts = value if isinstance(value, list | tuple) else [value]
        if isinstance(value, list | tuple) is not several or not parts or not all(map(_counts, parts)):
            wanted = "a list of whole numbers >= 1" if several else "a whole number >= 1"
            raise Refused(f"{name}: option {key} is {value!r}; it must be {wanted}")


def _counts(value: object) -> bool:
    return type(value) is int and value >= 1


def _made(name: str, network: Network, channels: int, dims: int, outputs: int, chosen: Options) -> nn.Module:
    try:
        return network.make(channels, dims, outputs, **chosen)
    except ValueError as error:
        raise Refused(f"{name}: {error}; choose groups that divide the channels of every layer") from error

"""The networks for masks, MONAI's: a logit for each finding and pixel, never a BatchNorm, seeded initial weights."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn

from brainct.ct import class_paths
from brainct.errors import Refused
from brainct.training.networks import seeded, without_batchnorm

Options = Mapping[str, Any]


def _unet(dims: int, channels: int, outputs: int, *, widths: Sequence[int] = (8, 16, 32), units: int = 1) -> nn.Module:
    """MONAI's UNet (Ronneberger et al., MICCAI 2015; residual units: Kerfoot et al., STACOM 2018) with InstanceNorm.

    Not GroupNorm: its last layer normalises as many channels as there are findings, whatever their number.
    """
    from monai.networks.nets import UNet

    norm = ("instance", {"affine": True})
    network: nn.Module = UNet(
        dims, channels, outputs, tuple(widths), (2,) * (len(widths) - 1), num_res_units=units, norm=norm
    )
    return network


def _segresnet(
    dims: int,
    channels: int,
    outputs: int,
    *,
    filters: int = 8,
    groups: int = 4,
    down: Sequence[int] = (1, 2, 2),
    up: Sequence[int] = (1, 1),
) -> nn.Module:
    """MONAI's SegResNet (Myronenko, BrainLes 2018) without its autoencoder branch, with GroupNorm."""
    from monai.networks.nets import SegResNet

    network: nn.Module = SegResNet(
        spatial_dims=dims,
        init_filters=filters,
        in_channels=channels,
        out_channels=outputs,
        norm=("group", {"num_groups": groups}),
        blocks_down=tuple(down),
        blocks_up=tuple(up),
    )
    return network


NETWORKS: dict[str, Callable[..., nn.Module]] = {"unet": _unet, "segresnet": _segresnet}
"""Every network there is for masks."""

LEVELS = {"unet": "widths", "segresnet": "down"}
"""The option whose length is the number of resolutions, each half of the one before."""


def options_of(architecture: str) -> dict[str, Any]:
    """The default options of an architecture; none of an unknown one."""
    if architecture not in NETWORKS:
        return {}
    parameters = inspect.signature(NETWORKS[architecture]).parameters.values()
    return {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}


def build(name: str, channels: int, edge: int, dims: int, seed: int, outputs: int, **options: Any) -> nn.Module:
    """A network from (N, channels, edge, edge[, edge]) to (N, outputs, edge, edge[, edge]) logits.

    name: of NETWORKS, or a class path, whose options are the class's own; see ct.class_paths.
    """
    if class_paths.is_path(name):
        return class_paths.build(name, channels, edge, dims, seed, outputs=outputs, options=options, masks=True)
    known = options_of(name)
    _check(name, known, options)
    chosen = known | options
    step = 2 ** (len(chosen[LEVELS[name]]) - 1)
    if edge % step or edge < 2 * step:
        raise Refused(f"{name}: the edge is {edge} pixels; wanted a multiple of {step}, at least {2 * step}")
    return without_batchnorm(seeded(seed, partial(_made, name, dims, channels, outputs, chosen)), name)


def _made(name: str, dims: int, channels: int, outputs: int, chosen: Options) -> nn.Module:
    try:
        return NETWORKS[name](dims, channels, outputs, **chosen)
    except ValueError as error:
        raise Refused(f"{name}: {error}; choose groups that divide the channels of every layer") from error


def _check(name: str, known: Options, options: Options) -> None:
    for key, value in options.items():
        if key not in known:
            raise Refused(f"{name} has no option {key!r}; it knows {', '.join(known)}")
        several = isinstance(known[key], tuple)
        parts = value if isinstance(value, list | tuple) else [value]
        if isinstance(value, list | tuple) is not several or not parts or not all(type(one) is int for one in parts):
            raise Refused(f"{name}: option {key} is {value!r}; wanted {'a list of' if several else 'a'} whole numbers")
        if min(parts) < 1 or (several and len(parts) < 2 and key == LEVELS[name]):
            raise Refused(f"{name}: option {key} is {value!r}; wanted numbers of at least 1, and two resolutions")

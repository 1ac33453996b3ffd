"""Networks as a MONAI bundle states them: a class with its arguments, or a chain of torch's own layers."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from brainct.ct import class_paths
from brainct.ct.networks import NETWORKS
from brainct.deliver.finished_model import FinishedModel
from brainct.errors import Refused
from brainct.segment.config import SegmentChoices
from brainct.segment.networks import options_of
from brainct.training.batch_norm import RULE

NETS = "monai.networks.nets"
ELSE = "export it as onnx or torch"


def network_def(model: FinishedModel) -> dict[str, Any] | str:
    """What MONAI builds the network from, without brainct; Refused where it is not MONAI's and not torch's."""
    network, findings = model.choices.network, len(model.findings)
    name, shape = network.architecture, (network.dims, network.channels, findings)
    if class_paths.is_path(name):
        return _by_path(model)
    if model.masks:
        return _for_masks(name, shape, options_of(name) | network.options)
    options = NETWORKS[name].options() | network.options
    if name.startswith("densenet"):
        return _densenet(shape, options)
    if name.startswith("efficientnet"):
        return _efficientnet(shape, options)
    return chain(model.module(), name)


def _densenet(shape: tuple[int, int, int], options: Mapping[str, Any]) -> dict[str, Any]:
    dims, channels, outputs = shape
    return {
        "_target_": f"{NETS}.DenseNet",
        "spatial_dims": dims,
        "in_channels": channels,
        "out_channels": outputs,
        "init_features": options["features"],
        "growth_rate": options["growth"],
        "block_config": list(options["blocks"]),
        "bn_size": options["bottleneck"],
        "norm": _group(options["groups"]),
    }


def _efficientnet(shape: tuple[int, int, int], options: Mapping[str, Any]) -> dict[str, Any]:
    dims, channels, outputs = shape
    return {
        "_target_": f"{NETS}.EfficientNetBN",
        "model_name": "efficientnet-b0",
        "pretrained": False,
        "spatial_dims": dims,
        "in_channels": channels,
        "num_classes": outputs,
        "norm": _group(options["groups"]),
    }


def _for_masks(name: str, shape: tuple[int, int, int], options: Mapping[str, Any]) -> dict[str, Any]:
    dims, channels, outputs = shape
    same = {"spatial_dims": dims, "in_channels": channels, "out_channels": outputs}
    if name == "unet":
        widths = list(options["widths"])
        own = {"channels": widths, "strides": [2] * (len(widths) - 1), "num_res_units": options["units"]}
        return {"_target_": f"{NETS}.UNet", **same, **own, "norm": ["instance", {"affine": True}]}
    blocks = {"blocks_down": list(options["down"]), "blocks_up": list(options["up"])}
    own = {"init_filters": options["filters"], "norm": _group(options["groups"])}
    return {"_target_": f"{NETS}.SegResNet", **same, **own, **blocks}


def _group(groups: int) -> list[Any]:
    return ["group", {"num_groups": groups}]


def _by_path(model: FinishedModel) -> dict[str, Any]:
    network = model.choices.network
    rule = network.options.get(RULE, "refuse")
    if rule == "group":
        raise Refused(f"{network.architecture} with GroupNorm in place of its BatchNorm is no class of MONAI; {ELSE}")
    own = {key: value for key, value in network.options.items() if key != RULE}
    edge = (isinstance(model.choices, SegmentChoices) and model.choices.network.patch) or network.size
    shape = network.channels, len(model.findings), network.dims, edge
    fixed = class_paths.arguments_of(network.architecture, *shape)
    return {"_target_": network.architecture, **{key: _plain(one) for key, one in fixed.items()}, **own}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def chain(module: nn.Module, name: str) -> str:
    """An expression of a chain of torch's layers, each under its own name."""
    parts = list(module.named_children())
    own = [part for _, part in parts if type(part).__module__.partition(".")[0] != "torch" or list(part.children())]
    if own or not isinstance(module, nn.Sequential):
        raise Refused(f"network {name} is not made of layers of torch and MONAI alone; {ELSE}")
    listed = ", ".join(f"{path}=torch.nn.{part!r}" for path, part in parts)
    return f"$torch.nn.Sequential(collections.OrderedDict({listed}))"


def gives_several(model: FinishedModel) -> bool:
    """Whether the plain network gives further values after its logits, as MONAI's ViT does."""
    network = model.choices.network
    if not class_paths.is_path(network.architecture):
        return False
    module, seen = model.module(), []
    module._forward_hooks.clear()  # the one that takes the first value alone
    module.register_forward_hook(lambda _, given, output: seen.append(isinstance(output, tuple | list)))
    with torch.inference_mode():
        module(torch.zeros(1, network.channels, *(network.size,) * network.dims))
    return seen[-1]

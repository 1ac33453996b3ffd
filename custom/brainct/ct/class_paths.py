"""Networks named by the path of their class in an installed library, such as monai.networks.nets.DenseNet121.

Nothing is imported but what ALLOWED lists; a site's policy then lists the paths that it accepts, as it does names.
"""

import importlib
import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from brainct.errors import Refused, one_line
from brainct.training.batch_norm import RULE, without_batch_statistics
from brainct.training.networks import seeded, without_batchnorm

ALLOWED = ("monai.networks.nets", "torchvision.models")
"""Modules whose classes and functions build networks."""

INPUTS = ("in_channels", "n_input_channels", "in_chans")
OUTPUTS = ("out_channels", "num_classes", "n_classes", "classes")
DIMENSIONS = ("spatial_dims", "dimensions")
EDGES = ("img_size", "image_size", "input_size")
"""The parameters by which libraries call channels, outputs, dimensions and the edge of the input."""

PRETRAINED = ("pretrained", "weights", "progress")
"""Parameters that fetch weights from elsewhere; a job's weights come from `start_from` alone."""

WIDEST = 4096
"""The largest whole number in a network's options: a wider network is a mistake or an attack on memory."""


def is_path(architecture: str) -> bool:
    """Whether a job names its network by a class path."""
    return "." in architecture


def check_path(path: str) -> None:
    """Refuse a path that is not a public name directly in one of ALLOWED; nothing is imported."""
    module, _, name = path.rpartition(".")
    if module not in ALLOWED or not name.isidentifier() or name.startswith("_"):
        raise Refused(f"network {path:.80} can't be used; wanted a class of {' or '.join(ALLOWED)}")


def build(
    path: str,
    channels: int,
    size: int,
    dims: int,
    seed: int | None,
    *,
    outputs: int,
    options: Mapping[str, Any],
    masks: bool = False,
) -> nn.Module:
    """The network with the weights that follow from the seed; see `make`. Refused where it has BatchNorm."""
    made = seeded(seed, partial(make, path, channels, outputs, dims, size, options, masks))
    return without_batchnorm(made, path)


def make(
    path: str, channels: int, outputs: int, dims: int, size: int, options: Mapping[str, Any], masks: bool = False
) -> nn.Module:
    """The network with these channels, outputs, dimensions and edge, and its other parameters from the options.

    masks: it gives a logit for each output and pixel, in training too; otherwise one for each output.
    Refused where the library is not installed or lacks the name, and for options that its builder can't take.
    """
    builder = _builder(path)
    if taken := sorted(set(options) & {"in_shape", *INPUTS, *OUTPUTS, *DIMENSIONS, *PRETRAINED}):
        raise Refused(f"{path}: option {taken[0]} follows from the job's network, findings and start; leave it out")
    own = {name: value for name, value in options.items() if name != RULE}
    for name, value in own.items():
        _check_value(path, name, value)
    given = {**_fixed(builder, path, channels, outputs, dims, size), **own}
    try:
        inspect.signature(builder).bind(**given)
        built = builder(**given)
    except Exception as error:  # a library refuses its arguments in many ways
        raise Refused(f"{path} can't be built from these options: {_why(error)}") from None
    if not isinstance(built, nn.Module):
        raise Refused(f"{path} gives a {type(built).__name__}; wanted a network")
    built.register_forward_hook(_first)
    built = without_batch_statistics(built, options.get(RULE, "refuse"), path)
    shape = 1, channels, *(size,) * dims
    _check_outputs(built, path, shape, (1, outputs, *shape[2:]) if masks else (1, outputs), masks)
    return built


def arguments_of(path: str, channels: int, outputs: int, dims: int, size: int) -> dict[str, Any]:
    """The arguments that `make` gives besides the options, under the names that this class has for them."""
    return _fixed(_builder(path), path, channels, outputs, dims, size)


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(str(error).partition(chr(10))[0])}"


def _first(module: nn.Module, inputs: Any, output: Any) -> Any:
    """The logits, where a network such as MONAI's ViT gives its hidden states as well."""
    return output[0] if isinstance(output, tuple | list) and output else output


def _check_outputs(network: nn.Module, path: str, shape: tuple[int, ...], wanted: tuple[int, ...], masks: bool) -> None:
    """Refuse a network that does not read this input, or gives anything but the wanted shape."""
    for training in (False, True) if masks else (False,):
        found = _forward(network.train(training), path, shape)
        network.train()
        if not isinstance(found, torch.Tensor) or found.shape != wanted:
            got = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            what = "one logit for each finding" + " and pixel" * masks
            raise Refused(f"{path} gives {got} for one scan; wanted {wanted}, {what}")


def _forward(network: nn.Module, path: str, shape: tuple[int, ...]) -> Any:
    try:
        with torch.inference_mode():
            return network(torch.zeros(shape))
    except Exception as error:  # a library fails on a shape in many ways
        raise Refused(f"{path} can't read {shape[1:]}: {_why(error)}") from None


def _builder(path: str) -> Any:
    check_path(path)
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except ImportError:
        raise Refused(f"network {path}: {module.partition('.')[0]} is not installed here; install it") from None
    except AttributeError:
        raise Refused(f"network {path}: {module} has no {name}; correct the name or the library's version") from None
    own = getattr(found, "__module__", "")
    if not callable(found) or not (own == module or own.startswith(f"{module}.")):
        raise Refused(f"network {path} is not a network of {module}; name its class")
    if inspect.isclass(found) and not issubclass(found, nn.Module):
        raise Refused(f"network {path} is a {found.__name__}, which is no network; name its class")
    return found


def _fixed(builder: Any, path: str, channels: int, outputs: int, dims: int, size: int) -> dict[str, Any]:
    """The arguments that follow from the job, under the names that this builder has for them."""
    parameters = _parameters(builder)
    found: dict[str, Any] = {}
    for names, value in ((INPUTS, channels), (OUTPUTS, outputs), (DIMENSIONS, dims), (EDGES, (size,) * dims)):
        if name := next((one for one in names if one in parameters), ""):
            found[name] = value
    if "in_shape" in parameters:
        found["in_shape"] = (channels, *(size,) * dims)
    for name in PRETRAINED:
        if name in parameters:
            found[name] = None if name == "weights" else False
    if not any(name in found for name in OUTPUTS):
        raise Refused(f"network {path} has no parameter for the number of outputs; it can't have one for each finding")
    return found


def _parameters(builder: Any) -> set[str]:
    """Names of the builder's parameters; where it passes further ones on, also those of the class behind it."""
    parameters = inspect.signature(builder).parameters
    found = set(parameters)
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        found |= {name for behind in _behind(builder) for name in inspect.signature(behind).parameters}
    return found


def _behind(builder: Any) -> list[Any]:
    """The base classes of a class; of a function such as resnet10 the class of its module whose name it begins with."""
    if inspect.isclass(builder):
        return [one for one in builder.__mro__[1:] if issubclass(one, nn.Module) and one is not nn.Module]
    others = vars(inspect.getmodule(builder)).values()
    classes = [one for one in others if inspect.isclass(one) and issubclass(one, nn.Module)]
    return [one for one in classes if builder.__name__.lower().startswith(one.__name__.lower())]


def _check_value(path: str, name: str, value: Any) -> None:
    if isinstance(value, Mapping):
        for key, each in value.items():
            _check_value(path, f"{name}.{key}", each)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for each in value:
            _check_value(path, name, each)
    elif isinstance(value, str):
        if len(value) > 100 or not value.isprintable():
            raise Refused(f"{path}: option {name} is text of {len(value)} characters; wanted a short word")
    elif isinstance(value, bool) or value is None:
        return
    elif not isinstance(value, int | float) or not abs(value) <= WIDEST:
        raise Refused(f"{path}: option {name} is {value!r:.80}; wanted a number of at most {WIDEST}, a word or a list")

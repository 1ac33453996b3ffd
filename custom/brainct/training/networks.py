"""What all workloads' networks have in common: seeded initial weights, no BatchNorm, and how schemes see them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from brainct.core.learner import Layer, Model
from brainct.errors import Refused


def parameters_of(module: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(parameter.numel() for parameter in module.parameters())


def without_batchnorm(module: nn.Module, name: str) -> nn.Module:
    """The module itself; refused, naming the layers, if any is a BatchNorm, whose statistics belong to one site."""
    found = [layer for layer, part in module.named_modules() if isinstance(part, _BatchNorm)]
    if found:
        raise Refused(f"{name} has {len(found)} BatchNorm layers ({', '.join(found)}); use GroupNorm in their place")
    return module


def seeded(seed: int | None, make: Callable[[], nn.Module]) -> nn.Module:
    """A network whose initial weights follow from the seed; with None, from torch's global random state."""
    if seed is None:
        return make()
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would reseed every GPU as well, which fork_rng without devices does not undo.
        torch.default_generator.manual_seed(seed)
        return make()


def described(network: nn.Module, architecture: str) -> Model:
    """A network as schemes see it: a copy of its weights, its layers in the order of its state dict."""
    weights = {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}
    paths = dict.fromkeys(key.rpartition(".")[0] for key in weights)
    kinds = {path: type(network.get_submodule(path)).__name__ for path in paths}
    layers = [
        Layer(
            path,
            kinds[path],
            tuple(key for key in weights if key.rpartition(".")[0] == path),
            getattr(network.get_submodule(path), "num_groups", 0),
        )
        for path in paths
    ]
    return Model(weights, tuple(layers), architecture)


def channels_last(inputs: Tensor) -> Tensor:
    """The same inputs; images (N, C, H, W) with their channels next to each other in memory.

    Convolution and pooling then take a tenth less time, and their weights stay as they are. Volumes get slower by it.
    """
    return inputs.contiguous(memory_format=torch.channels_last) if inputs.ndim == 4 else inputs


class Adapted(nn.Module):
    """A network behind what a learner does to its input; its layers keep their paths under `network`."""

    def __init__(self, network: nn.Module, logits: Callable[[Tensor], Tensor]):
        super().__init__()
        self.network, self._logits = network, logits

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, F) logits."""
        return self._logits(inputs)

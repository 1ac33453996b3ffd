"""How a network's units answer to a site's training fold: mean and standard deviation of each."""

from collections.abc import Sequence

import torch
from torch import Tensor

from brainct.core.learner import Learner
from brainct.core.weights import Weights


def unit_statistics(learner: Learner, weights: Weights, layers: Sequence[str]) -> tuple[dict[str, Tensor], int]:
    """For each layer (C, 2) float64, its output channels' mean and standard deviation over samples and positions.

    layers: module paths. Of the training fold, not augmented; its number of samples is the second value.
    """
    sums = {layer: torch.zeros(0) for layer in layers}

    def add(layer: str, _: Tensor, output: Tensor) -> None:
        values = output.double().cpu().transpose(0, 1).flatten(1)
        found = torch.stack([torch.full_like(values[:, 0], values.shape[1]), values.sum(1), values.square().sum(1)])
        sums[layer] = found + sums[layer] if len(sums[layer]) else found

    labels = learner.observe(weights, layers, add)
    return {layer: _mean_and_deviation(*found) for layer, found in sums.items()}, len(labels)


def _mean_and_deviation(count: Tensor, total: Tensor, squares: Tensor) -> Tensor:
    mean = total / count
    return torch.stack([mean, (squares / count - mean.square()).clamp(min=0).sqrt()], 1)

"""Segmentation for training.learner: masked Dice, images and masks augmented alike, sliding windows."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from brainct.core.learner import Model
from brainct.core.weights import Weights
from brainct.core.workload import Context
from brainct.ct.augment import paired_augmenter
from brainct.segment.config import SegmentChoices
from brainct.segment.loss import known_masks, masked_dice
from brainct.segment.metrics import scores
from brainct.segment.networks import build
from brainct.training.data import Dataset, Fold
from brainct.training.learner import TorchLearner
from brainct.training.networks import described
from brainct.training.task import TorchTask

OVERLAP = 0.5
"""Share of its edge that a window has in common with the next."""


def network_of(choices: SegmentChoices, seed: int) -> nn.Module:
    """The network with its seeded weights."""
    network = choices.network
    edge, outputs = network.patch or network.size, len(choices.findings)
    return build(network.architecture, network.channels, edge, network.dims, seed, outputs, **network.options)


def model_of(choices: SegmentChoices, seed: int, rounds: int = 0) -> Model:
    """The network as schemes see it."""
    found = described(network_of(choices, seed), choices.network.architecture)
    return replace(found, rounds=rounds, outputs=choices.findings)


def learner_of(
    choices: SegmentChoices, data: Dataset, context: Context, network: nn.Module | None = None
) -> TorchLearner:
    """The learner of one site in one round. network: any of the job's, into which weights are loaded."""
    task = _task_of(choices, context.seed, context.rounds)
    return TorchLearner(task, data, context, network or network_of(choices, context.seed))


def _task_of(choices: SegmentChoices, seed: int, rounds: int) -> TorchTask:
    def network_like(weights: Weights) -> nn.Module:
        return network_of(choices, seed)

    def scores_on(fold: Fold, found: NDArray[Any]) -> dict[str, Any]:
        return scores(fold.labels.numpy(), found, choices.findings, None if fold.mm is None else fold.mm.numpy())

    return TorchTask(
        fit=choices.fit,
        initial=functools.partial(model_of, choices, seed, rounds),
        network_like=network_like,
        loss=masked_dice,
        predictions=torch.sigmoid,
        scores=scores_on,
        paired=functools.partial(_augmented, choices),
        terms=known_masks,
        infer=functools.partial(_inferred, choices.network.patch, choices.network.dims),
    )


def _augmented(
    choices: SegmentChoices, images: Tensor, masks: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Images and masks moved alike, then a random patch of each, if the job has patches."""
    if choices.fit.augment is not None:
        images, masks = paired_augmenter(choices.fit.augment, choices.network.dims)(images, masks, rng)
    patch = choices.network.patch
    if patch is None or patch == images.shape[-1]:
        return images, masks
    corners = rng.integers(0, images.shape[-1] - patch + 1, (len(images), images.ndim - 2)).tolist()
    cuts = [(slice(None), *(slice(at, at + patch) for at in corner)) for corner in corners]
    cut = [torch.stack([each[where] for each, where in zip(batch, cuts, strict=True)]) for batch in (images, masks)]
    return cut[0], cut[1]


def _inferred(patch: int | None, dims: int, network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Logits of whole images, from overlapping windows weighted by a Gaussian if the job has patches."""
    if patch is None or patch == images.shape[-1]:
        return network(images)
    from monai.inferers import sliding_window_inference

    found: Tensor = sliding_window_inference(images, (patch,) * dims, 4, network, OVERLAP, mode="gaussian")
    return found

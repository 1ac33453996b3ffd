"""Head CT for training.learner: findings by masked cross-entropy, augmented scans, the scores of each finding."""

import functools
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from brainct.core.workload import Context
from brainct.ct.augment import augmenter
from brainct.ct.config import CtChoices
from brainct.ct.model import model_of, network_like, network_of
from brainct.ct.studies import all_scores
from brainct.training.data import Dataset, Fold
from brainct.training.learner import TorchLearner
from brainct.training.losses import known_labels, known_samples, masked_bce, masked_choice
from brainct.training.task import TorchTask


def task_of(choices: CtChoices, seed: int, rounds: int) -> TorchTask:
    """What a job's networks learn."""
    network, augment = choices.network, choices.fit.augment

    def scores_on(fold: Fold, found: NDArray[Any]) -> dict[str, Any]:
        return all_scores(fold, found, choices.findings, choices.scan.study)

    return TorchTask(
        fit=choices.fit,
        initial=functools.partial(model_of, network, seed, rounds, choices.findings),
        network_like=functools.partial(network_like, network, seed, findings=choices.findings),
        loss=masked_choice if choices.single_choice else masked_bce,
        predictions=functools.partial(torch.softmax, dim=1) if choices.single_choice else torch.sigmoid,
        scores=scores_on,
        terms=known_samples if choices.single_choice else known_labels,
        augment=augmenter(augment, network.dims) if augment is not None else None,
    )


def learner_of(choices: CtChoices, data: Dataset, context: Context, network: nn.Module | None = None) -> TorchLearner:
    """The learner of one site in one round. network: any of the job's, into which weights are loaded."""
    task = task_of(choices, context.seed, context.rounds)
    return TorchLearner(task, data, context, network or network_of(choices.network, context.seed, choices.findings))

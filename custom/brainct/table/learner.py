"""A table for training.learner: the loss, predictions and scores of each task, on standardised columns."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from brainct.core.weights import Weights
from brainct.core.workload import Context
from brainct.table.config import TableChoices, Task
from brainct.table.metrics import Values, scores
from brainct.table.networks import model_of, network_of
from brainct.table.scaler import scaler_of
from brainct.training.data import Dataset, Fold
from brainct.training.learner import TorchLearner
from brainct.training.losses import masked_bce, masked_cross_entropy, masked_squares
from brainct.training.task import Loss, TorchTask

LOSSES: dict[Task, Loss] = {"binary": masked_bce, "classes": masked_cross_entropy, "regression": masked_squares}


def task_of(choices: TableChoices, seed: int, rounds: int) -> TorchTask:
    """What a job's networks learn."""
    predictions: dict[Task, Callable[[Tensor], Tensor]] = {
        "binary": torch.sigmoid,
        "classes": functools.partial(torch.softmax, dim=1),
        "regression": lambda values: values,
    }

    def network_like(weights: Weights) -> nn.Module:
        return network_of(choices, seed)

    def scores_on(fold: Fold, found: Values) -> dict[str, Any]:
        return scores(choices.task, fold.labels.double().numpy(), found)

    return TorchTask(
        fit=choices.fit,
        initial=functools.partial(model_of, choices, seed, rounds),
        network_like=network_like,
        loss=LOSSES[choices.task],
        predictions=predictions[choices.task],
        scores=scores_on,
    )


def learner_of(
    choices: TableChoices, data: Dataset, context: Context, network: nn.Module | None = None
) -> TorchLearner:
    """The learner of one site in one round, on the columns as all sites scale them; context.shared: see scaler."""
    scaler = scaler_of(choices, context.shared, context.seed)
    task = task_of(choices, context.seed, context.rounds)
    return TorchLearner(task, scaler.dataset(data), context, network or network_of(choices, context.seed))

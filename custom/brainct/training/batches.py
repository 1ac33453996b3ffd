"""Which samples a step of local training sees, in seeded order, and the optimiser that takes it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from brainct.core.determinism import generator
from brainct.core.learner import PublicLabels
from brainct.core.workload import Context
from brainct.training.data import Fold
from brainct.training.task import TorchTask


@contextmanager
def seeded(context: Context) -> Iterator[np.random.Generator]:
    """The generator of this round's training, from which torch's own randomness is seeded meanwhile."""
    order = generator(context.seed, context.site, context.round, "batches")
    with torch.random.fork_rng(devices=[]):
        seed = int(order.integers(2**63))
        torch.default_generator.manual_seed(seed)  # torch.manual_seed formats stack traces, for each kind of GPU
        if torch.cuda.is_available():
            torch.cuda.manual_seed_all(seed)
        yield order


def batches(
    task: TorchTask, fold: Fold, batch_size: int, order: np.random.Generator, epochs: int | None, steps: int | None
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Indices into the fold, and its inputs and labels at these, augmented, for these epochs or steps or the job's."""
    fit, a_pass = task.fit, -(-len(fold) // batch_size)
    wanted = steps or (epochs and epochs * a_pass) or fit.steps or fit.epochs * a_pass
    for index in _indices(order, len(fold), batch_size, wanted):
        yield index, *task.augmented(fold.inputs[index], fold.labels[index], order)


def first_batch(task: TorchTask, fold: Fold, batch_size: int, context: Context) -> Fold:
    """The batch that a training takes first in this round."""
    with seeded(context) as order:
        [(_, inputs, labels)] = batches(task, fold, batch_size, order, None, 1)
    return Fold(inputs, labels)


def in_order(fold: Fold, batch_size: int, device: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and labels of a fold in its order."""
    for inputs, labels in zip(torch.split(fold.inputs, batch_size), torch.split(fold.labels, batch_size), strict=True):
        if len(inputs):
            yield inputs.to(device), labels.to(device)


def united(train: Fold, given: PublicLabels | None, public: Callable[[], Tensor]) -> tuple[Fold, Tensor | None]:
    """The training fold and the public samples with a label, and what each of their outputs counts in the loss.

    public: gives the inputs of the public set. Without a label the training fold alone, and None.
    """
    labelled = None if given is None else given.labels.isfinite().any(1)
    if given is None or labelled is None or not labelled.any():
        return train, None
    labels = given.labels[labelled].float()
    shares = [
        torch.full(one.shape, share / int(one.isfinite().sum()))
        for one, share in ((train.labels, given.own), (labels, 1 - given.own))
    ]
    both = Fold(torch.cat([train.inputs, public()[labelled]]), torch.cat([train.labels, labels]))
    return both, torch.cat(shares) * len(both)


def _indices(order: np.random.Generator, samples: int, batch_size: int, count: int) -> Iterator[Tensor]:
    """Batches of a fresh permutation for each pass; the last batch of a pass may be smaller."""
    while count > 0:
        shuffled = torch.from_numpy(order.permutation(samples))
        for index in torch.split(shuffled, batch_size)[:count]:
            yield index
            count -= 1

"""What one workload's networks learn: everything that TorchLearner does not know."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from brainct.core.learner import Model
from brainct.core.weights import Weights
from brainct.training.config import Fit
from brainct.training.data import Fold
from brainct.training.losses import known_labels

Augment = Callable[[Tensor, np.random.Generator], Tensor]
"""A batch of inputs and a generator to a new batch like it."""

Paired = Callable[[Tensor, Tensor, np.random.Generator], tuple[Tensor, Tensor]]
"""Inputs, labels and a generator to new ones."""

Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Logits (N, F), labels (N, F) with NaN where unknown, and shares or None to a scalar; see training.losses."""

Scores = Callable[[Fold, NDArray[np.float64]], dict[str, Any]]
"""A fold and the predictions for it, (N, F), to scores that JSON can hold."""


@dataclass(frozen=True)
class TorchTask:
    """What one workload's networks learn.

    fit: local training in one round. initial: the seeded model before round 0. network_like: an untrained network in
    the widths of these weights. predictions: logits to what a model predicts, such as probabilities. augment: of a
    training batch; None for none. terms: of how many terms the loss over these labels is the mean.
    paired: augments inputs and labels together, in place of `augment`. infer: logits of whole inputs from the network.
    """

    fit: Fit
    initial: Callable[[], Model]
    network_like: Callable[[Weights], nn.Module]
    loss: Loss
    predictions: Callable[[Tensor], Tensor]
    scores: Scores
    augment: Augment | None = None
    terms: Callable[[Tensor], Tensor] = known_labels
    paired: Paired | None = None
    infer: Callable[[Callable[[Tensor], Tensor], Tensor], Tensor] = lambda network, inputs: network(inputs)

    def augmented(self, inputs: Tensor, labels: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """A training batch after augmentation."""
        if self.paired is not None:
            return self.paired(inputs, labels, rng)
        return (self.augment(inputs, rng) if self.augment else inputs), labels

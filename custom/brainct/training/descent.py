"""The steps of one local training: what moves, the optimiser, and what a scheme adds to loss and gradient."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from brainct.core.weights import Weights
from brainct.training.config import Fit


@dataclass(frozen=True)
class Descent:
    """One training's steps.

    parameters: all of the network. moving: those that are trained. penalty, correction: see core.learner.Learner.fit.
    """

    parameters: Mapping[str, nn.Parameter]
    moving: Mapping[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    penalty: Callable[[Weights], Tensor] | None = None
    correction: Weights | None = None

    def step(self, loss: Tensor | None = None, gradient: Weights | None = None) -> None:
        """Down the gradient of a loss, or the one given by parameter name, with the penalty's and the correction."""
        self.optimizer.zero_grad(set_to_none=True)
        for name, value in (gradient or {}).items():
            self.moving[name].grad = value
        if self.penalty is not None:
            pull = self.penalty(dict(self.parameters))
            loss = pull if loss is None else loss + pull
        if loss is not None:
            loss.backward()  # type: ignore[no-untyped-call]
        for name, change in (self.correction or {}).items():
            if name in self.moving and (found := self.moving[name].grad) is not None:
                found.add_(change.to(found.device))
        self.optimizer.step()


OPTIMIZER_IMPORTS = "torch._dynamo"
"""What torch's optimisers import when the first one is made, a second or two."""


def optimizer_of(fit: Fit, moving: Mapping[str, nn.Parameter], rate: float) -> torch.optim.Optimizer:
    """The job's optimiser, without any state of earlier rounds; fused: one pass over memory in place of ten."""
    parameters = list(moving.values())
    if fit.optimizer == "sgd":
        return torch.optim.SGD(parameters, rate, momentum=fit.momentum, weight_decay=fit.weight_decay, fused=True)
    kind = torch.optim.AdamW if fit.optimizer == "adamw" else torch.optim.Adam
    return kind(parameters, rate, weight_decay=fit.weight_decay, fused=True)


def optimizer_name(fit: Fit) -> str:
    """The optimiser in words, as `Fitted` has it."""
    return f"sgd with momentum {fit.momentum:g}" if fit.optimizer == "sgd" and fit.momentum else fit.optimizer

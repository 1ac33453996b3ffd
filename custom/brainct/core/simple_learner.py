"""A learner to start from: one that refuses, by name, whatever its workload does not offer."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NoReturn

import torch

from brainct.core.learner import Credentials, Fitted, Model, PublicLabels, Record, Transform
from brainct.core.weights import Weights
from brainct.core.workload import Context
from brainct.errors import Declined


class Bound:
    """A learner's site, round and credentials, which its context gives."""

    context: Context

    @property
    def site(self) -> str:
        """The site's name."""
        return self.context.site

    @property
    def round(self) -> int:
        """The round that the learner is bound to."""
        return self.context.round

    @property
    def credentials(self) -> Credentials:
        """What only this site can draw, sign or recognise."""
        return self.context.credentials


class SimpleLearner(Bound, ABC):
    """See core.learner.Learner; a workload overrides `initial`, `fit` and `evaluate`, and what else it can do."""

    def __init__(self, context: Context):
        self.context = context

    @abstractmethod
    def initial(self) -> Model:
        """The model before round 0."""

    @abstractmethod
    def fit(
        self,
        weights: Weights,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        penalty: Callable[[Weights], torch.Tensor] | None = None,
        correction: Weights | None = None,
        frozen: Collection[str] = (),
        constant_rate: bool = False,
        public_labels: PublicLabels | None = None,
    ) -> Fitted:
        """Train from these weights."""

    @abstractmethod
    def evaluate(self, weights: Weights, fold: str = "test") -> Mapping[str, Any]:
        """The workload's scores on a fold."""

    def gradient(self, weights: Weights, *, batch: bool = False) -> Fitted:
        """Refused."""
        self._refuse("gradients")

    def samples(self, fold: str = "train") -> tuple[torch.Tensor, torch.Tensor]:
        """Refused."""
        self._refuse("samples")

    def observe(self, weights: Weights, layers: Sequence[str], record: Record) -> torch.Tensor:
        """Refused."""
        self._refuse("layers")

    def adapted(
        self, inputs: Transform | None = None, predictor: Callable[[str], torch.Tensor] | None = None
    ) -> "SimpleLearner":
        """Refused."""
        self._refuse("inputs that could be transformed")

    def predict(self, weights: Weights, fold: str = "test") -> torch.Tensor:
        """Refused."""
        self._refuse("predictions of single samples")

    def _refuse(self, what: str) -> NoReturn:
        raise Declined(f"the job's workload offers no {what}, for which its scheme asks; choose another scheme")

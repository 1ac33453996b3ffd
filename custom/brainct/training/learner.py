"""The learner of every workload whose models are PyTorch networks; bound to one site and one round."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from brainct.core.learner import Fitted, Model, PublicLabels, Record, Transform
from brainct.core.simple_learner import Bound
from brainct.core.weights import Weights, check_weights
from brainct.core.workload import Context
from brainct.errors import Refused
from brainct.training.batches import batches, first_batch, in_order, seeded, united
from brainct.training.data import Dataset, Fold
from brainct.training.descent import Descent, optimizer_name, optimizer_of
from brainct.training.networks import Adapted, channels_last
from brainct.training.private import PrivateTraining, noised_gradients, sample_gradients
from brainct.training.remember import refuse_gradients, remembering_of
from brainct.training.task import TorchTask


@dataclass
class TorchLearner(Bound):
    """Trains, asks and evaluates one network on one site's samples; see core.learner.Learner.

    All randomness (order of batches, augmentation, dropout) follows from the run's seed, the site's name and the round.
    A site without any label in its training fold is refused when it is asked to train. With private training, `fit`
    follows from the site's secret instead of the seed, gives no loss, and alone reads the training fold.
    """

    task: TorchTask
    data: Dataset
    context: Context
    network: nn.Module
    transform: Transform | None = None
    predictor: Callable[[str], Tensor] | None = None

    def __post_init__(self) -> None:
        self.network = self.network.to(self.data.device)

    @property
    def batch_size(self) -> int:
        """The job's, by default the site's own."""
        return self.task.fit.batch_of(self.data.batch_size, self.site)

    def initial(self) -> Model:
        """The network with the weights that the run's seed gives it."""
        return self.task.initial()

    def fit(
        self,
        weights: Weights,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        penalty: Callable[[Weights], Tensor] | None = None,
        correction: Weights | None = None,
        frozen: Collection[str] = (),
        constant_rate: bool = False,
        public_labels: PublicLabels | None = None,
    ) -> Fitted:
        """See core.learner.Learner.

        public_labels: passes then go over the training fold and all public samples with a label; the loss is `own`
        times its mean over the former and 1 - `own` times that over the latter, in expectation over batches. The two
        are in memory together for this. With private training a pass is ceil(1 / q) steps, the loss is None, and
        public_labels are refused.
        """
        self._load(weights)
        rate = self.task.fit.rate if constant_rate else self.rate()
        parameters = dict(self.network.named_parameters())
        moving = {name: value for name, value in parameters.items() if name not in frozen}
        optimizer = optimizer_of(self.task.fit, moving, rate)
        descent = Descent(parameters, moving, optimizer, penalty, correction)
        if self.context.private is not None:
            what = "labels of public samples" if public_labels is not None else ""
            self._refuse_reading("an earlier model to be kept" if self.task.fit.remember else what)
            wanted = self.context.private.terms.steps(self.task.fit, epochs, steps)
            self._fit_privately(self.context.private, descent, wanted, weights)
            return self._fitted(wanted, rate, None)
        fold, shares = united(self._train(), public_labels, lambda: self.samples("public")[0])
        losses, remembering = [], remembering_of(self)
        self.network.train()
        with seeded(self.context) as order:
            for index, inputs, labels in batches(self.task, fold, self.batch_size, order, epochs, steps):
                share = None if shares is None else shares[index].to(self.data.device)
                logits = self._training_logits(inputs.to(self.data.device))
                loss = self.task.loss(logits, labels.to(self.data.device), share)
                losses.append(loss.detach())
                descent.step(remembering.added(loss, inputs, logits, order) if remembering else loss)
        return self._fitted(len(losses), rate, float(torch.stack(losses).double().mean()))

    def _fitted(self, steps: int, rate: float, loss: float | None) -> Fitted:
        weights = {key: value.detach().cpu().clone() for key, value in self.network.state_dict().items()}
        return Fitted(weights, len(self._train()), steps, rate, loss, optimizer_name(self.task.fit))

    def _fit_privately(self, private: PrivateTraining, descent: Descent, count: int, weights: Weights) -> None:
        """DP-SGD from the weights loaded: paid for, then so many steps on noised gradients.

        The penalty comes after the noise: it may depend on weights alone, as those of all schemes do.
        """
        fold = self._train()
        known = {
            "job": self.credentials.job_digest(),
            "at": [self.site, self.round, count, self.batch_size],
            "weights": dict(weights),
            "transform": self.transform.known if self.transform else None,
            "samples": fold.digest,
        }

        def gradients(index: Tensor, rng: np.random.Generator) -> Tensor:
            inputs, labels = self.task.augmented(fold.inputs[index], fold.labels[index], rng)
            sent = inputs.to(self.data.device), labels.to(self.data.device)
            with self._precision():
                return sample_gradients(self.task.loss, self.network, descent.moving, self.network_input, *sent)

        self.network.train()
        units = fold.units, self.batch_size
        for gradient in noised_gradients(private, descent, known, self.data.device, units, gradients, count):
            descent.step(gradient=gradient)

    def _refuse_reading(self, what: str) -> None:
        """Refuse what would read the training fold without noise where the site's policy has it train privately."""
        if self.context.private is not None and what:
            raise Refused(
                f"{self.site} reads its training samples through noise alone (DP-SGD), by its privacy policy, and the "
                f"scheme asks for {what}; choose another scheme, or ask the hospital's data protection officer"
            )

    def gradient(self, weights: Weights, *, batch: bool = False) -> Fitted:
        """The gradient of the mean loss over the training fold, by parameter name, without augmentation or dropout.

        batch: over one mini-batch instead, the one that `fit` would take first in this round, augmented as there.
        """
        self._refuse_reading("a gradient over them")
        refuse_gradients(self.task.fit, self.site)
        self._load(weights)
        self.network.eval()
        self.network.zero_grad(set_to_none=True)
        fold = first_batch(self.task, self._train(), self.batch_size, self.context) if batch else self._train()
        known = self.task.terms(fold.labels).clamp(min=1)
        total = 0.0
        for inputs, labels in in_order(fold, self.batch_size, self.data.device):
            share = self.task.terms(labels) / known
            loss = self.task.loss(self._training_logits(inputs), labels, None) * share
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        gradient = {name: value.grad.cpu() for name, value in self.network.named_parameters() if value.grad is not None}
        return Fitted(gradient, len(fold), 1, self.rate(), total)

    def samples(self, fold: str = "train") -> tuple[Tensor, Tensor]:
        """See core.learner.Learner."""
        self._refuse_reading("the samples themselves" if fold == "train" else "")
        found = self.data.fold(fold)
        return found.inputs, found.labels

    @torch.no_grad()
    def observe(self, weights: Weights, layers: Sequence[str], record: Record) -> Tensor:
        """See core.learner.Learner; modules get their input as the first argument."""
        self._refuse_reading("what the network's layers make of them")
        self._load(weights)
        self.network.eval()
        hooks = [
            self.network.get_submodule(layer).register_forward_hook(
                lambda _, given, output, layer=layer: record(layer, given[0], output)
            )
            for layer in layers
        ]
        try:
            for inputs, _ in in_order(self._train(), self.batch_size, self.data.device):
                self._logits(inputs)
        finally:
            for hook in hooks:
                hook.remove()
        return self._train().labels

    def adapted(
        self, inputs: Transform | None = None, predictor: Callable[[str], Tensor] | None = None
    ) -> "TorchLearner":
        """See core.learner.Learner."""
        return replace(self, transform=inputs or self.transform, predictor=predictor or self.predictor)

    @torch.no_grad()
    def predict(self, weights: Weights, fold: str = "test") -> Tensor:
        """(N, F) predictions for the samples of a fold, in the fold's order."""
        self._refuse_reading("a model's answers for them" if fold == "train" else "")
        if self.predictor is not None:
            return self.predictor(fold)
        self._load(weights)
        self.network.eval()
        asked = self.data.fold(fold)
        parts = in_order(asked, self.batch_size, self.data.device)
        found = [self.task.predictions(self.task.infer(self._logits, inputs)).cpu() for inputs, _ in parts]
        return torch.cat([torch.empty(0, *asked.labels.shape[1:]), *found])

    def evaluate(self, weights: Weights, fold: str = "test") -> Mapping[str, Any]:
        """The task's scores of the predictions for a fold."""
        self._refuse_reading("a model's scores on them" if fold == "train" else "")
        found = self.predict(weights, fold).double()
        return self.task.scores(self.data.fold(fold), (found.nan_to_num(0.5) if self.context.always else found).numpy())

    def module(self, weights: Weights) -> nn.Module:
        """A module with these weights, (N, ...) inputs to (N, F) logits, that adapts its input as this learner does."""
        self._load(weights)
        return Adapted(self.network, self._logits).eval()

    def rate(self) -> float:
        """The learning rate of this round."""
        fit = self.task.fit
        fall = 0.5 * (1 + math.cos(math.pi * self.round / self.context.rounds)) if fit.decay == "cosine" else 1.0
        return fit.rate * fall

    def network_input(self, inputs: Tensor) -> Tensor:
        """(N, ...) inputs as the network gets them, after the learner's transform."""
        return self.transform.apply(inputs) if self.transform else inputs

    def _train(self) -> Fold:
        fold = self.data.folds["train"]
        if not len(fold) or not fold.labels.isfinite().any():
            raise Refused(f"{self.site} has no labelled training sample; see `brainct data show` for what was found")
        return fold

    def _logits(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.network(channels_last(self.network_input(inputs)))
        return logits

    def _training_logits(self, inputs: Tensor) -> Tensor:
        """In the job's precision; the loss is never of less than float32."""
        with self._precision():
            logits = self._logits(inputs)
        return logits.float() if logits.dtype == torch.bfloat16 else logits

    def _precision(self) -> torch.autocast:
        kind = torch.device(self.data.device).type
        return torch.autocast(kind, torch.bfloat16, enabled=self.task.fit.precision == "bfloat16")

    def _load(self, weights: Weights) -> None:
        state = self.network.state_dict()
        if state.keys() == weights.keys() and any(weights[key].shape != value.shape for key, value in state.items()):
            self.network = self.task.network_like(weights).to(self.data.device)
            state = self.network.state_dict()
        check_weights(weights, dict(state), f"{self.site}, round {self.round}: the model sent")
        self.network.load_state_dict(dict(weights))

"""Continual training: what an earlier model knew is kept while a site trains on new scans.

Replay: Robins, Connection Science 1995; the earlier scans never leave their site. Learning without forgetting: Li,
Hoiem, ECCV 2016, here by the squared difference of logits (Ba, Caruana, NeurIPS 2014), which needs no earlier scan.
Elastic weight consolidation: Kirkpatrick et al., PNAS 2017, equation 3.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from brainct.core.weights import Weights, sha256
from brainct.errors import Refused
from brainct.training.config import Fit, Remember
from brainct.training.data import Fold
from brainct.training.private import sample_gradients

if TYPE_CHECKING:
    from brainct.training.learner import TorchLearner

CHUNK = 16
"""Samples whose gradients are in memory at a time."""

_FISHERS: dict[tuple[str, str], dict[str, Tensor]] = {}
"""Of the last few sites of this process: by the start model and the earlier scans."""
KEPT = 64


@dataclass(frozen=True)
class Remembering:
    """What is added to each batch's loss. start: w*, on the learner's device. fisher: F by parameter, {} for none."""

    learner: "TorchLearner"
    chosen: Remember
    start: Weights
    earlier: Fold | None
    fisher: Weights

    def added(self, loss: Tensor, inputs: Tensor, logits: Tensor, order: np.random.Generator) -> Tensor:
        """The batch's loss with what keeps the earlier model. order: the generator of this round's training."""
        if self.chosen.replay and self.earlier is not None:
            loss = loss + self.chosen.replay * self._replayed(len(inputs), order)
        if self.chosen.distill:
            loss = loss + self.chosen.distill * (logits - self._before(inputs)).square().mean()
        if self.chosen.ewc:
            parameters = self.learner.network.named_parameters()
            moved = [(self.fisher[name] * (now - self.start[name]).square()).sum() for name, now in parameters]
            loss = loss + 0.5 * self.chosen.ewc * torch.stack(moved).sum()
        return loss

    def _replayed(self, count: int, order: np.random.Generator) -> Tensor:
        """The mean loss of as many earlier samples as a batch has new ones, or of all if there are fewer."""
        assert self.earlier is not None
        drawn = torch.from_numpy(order.choice(len(self.earlier), min(count, len(self.earlier)), replace=False))
        task, device = self.learner.task, self.learner.data.device
        inputs, labels = task.augmented(self.earlier.inputs[drawn], self.earlier.labels[drawn], order)
        logits = self.learner.network(self.learner.network_input(inputs.to(device)))
        return task.loss(logits, labels.to(device), None)

    def _before(self, inputs: Tensor) -> Tensor:
        """The start model's logits on a batch."""
        network, given = self.learner.network, self.learner.network_input(inputs.to(self.learner.data.device))
        training = network.training
        network.eval()
        with torch.no_grad():
            found: Tensor = functional_call(network, dict(self.start), (given,))
        network.train(training)
        return found


def remembering_of(learner: "TorchLearner") -> Remembering | None:
    """What a learner's job has it remember; Refused where the site lacks what that needs."""
    chosen, start, earlier = learner.task.fit.remember, learner.context.start, learner.data.earlier
    if chosen is None or not (chosen.replay or chosen.distill or chosen.ewc):
        return None
    if start is None and (chosen.distill or chosen.ewc):
        raise Refused(
            f"{learner.site}: fit.remember needs a start model, and this job starts from none; state start_from"
        )
    if earlier is None and (chosen.replay or chosen.ewc):
        raise Refused(
            f"{learner.site} has no earlier scans, which fit.remember needs; name their site file as `earlier` in the "
            "site file, or choose `distill` alone"
        )
    on = {key: value.to(learner.data.device) for key, value in (start or {}).items()}
    fisher = _fisher(learner, on, earlier) if chosen.ewc and earlier is not None else {}
    return Remembering(learner, chosen, on, earlier, fisher)


def refuse_gradients(fit: Fit, site: str) -> None:
    """Refuse a scheme that takes steps of its own, in which fit.remember would have no part."""
    if fit.remember is not None:
        raise Refused(f"{site}: the scheme asks for single gradients, to which fit.remember adds nothing; leave it out")


def _fisher(learner: "TorchLearner", start: Weights, earlier: Fold) -> dict[str, Tensor]:
    """The mean over earlier samples of the squared gradient of each one's loss, at the start model."""
    key = (sha256(start), earlier.digest)
    if key not in _FISHERS:
        if len(_FISHERS) >= KEPT:
            _FISHERS.clear()
        _FISHERS[key] = _squared_gradients(learner, start, earlier)
    return _FISHERS[key]


def _squared_gradients(learner: "TorchLearner", start: Weights, earlier: Fold) -> dict[str, Tensor]:
    network, task, device = learner.network, learner.task, learner.data.device
    own = {key: value.detach().clone() for key, value in network.state_dict().items()}
    network.load_state_dict(dict(start))
    network.eval()
    parameters = dict(network.named_parameters())
    total = torch.zeros(sum(value.numel() for value in parameters.values()), dtype=torch.float64, device=device)
    for index in torch.split(torch.arange(len(earlier)), CHUNK):
        batch = earlier.inputs[index].to(device), earlier.labels[index].to(device)
        found = sample_gradients(task.loss, network, parameters, learner.network_input, *batch)
        total += found.double().square().sum(0)
    network.load_state_dict(own)
    return _by_name(total / len(earlier), parameters)


def _by_name(flat: Tensor, parameters: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    names = sorted(parameters)
    parts = torch.split(flat.float(), [parameters[name].numel() for name in names])
    return {name: part.view_as(parameters[name]) for name, part in zip(names, parts, strict=True)}

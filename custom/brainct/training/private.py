"""DP-SGD: each step samples patients, clips what each adds to the gradient, and adds noise from the site's secret.

Abadi et al.: Deep Learning with Differential Privacy, CCS 2016, Algorithm 1, with a patient's samples together in place
of one example, as McMahan et al.: Learning Differentially Private Recurrent Language Models, ICLR 2018, have users.
"""

import hmac
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from brainct.core import serialization
from brainct.core.noise import gaussian, uniform
from brainct.core.privacy_event import Event
from brainct.core.version import VERSION
from brainct.core.weights import Weights, sha256
from brainct.training.config import Choices, Fit
from brainct.training.descent import Descent
from brainct.training.task import Loss

Parameters = Mapping[str, nn.Parameter]
Gradients = Callable[[Tensor, np.random.Generator], Tensor]
"""(n,) indices of samples and a generator for their augmentation to (n, P), the gradient of each sample's loss."""


class Training(Choices):
    """How a site trains so that its weights tell little of any one patient: DP-SGD (Abadi et al., CCS 2016).

    clip: C > 0, the greatest L2 norm of one patient's gradient in a step, however many samples the patient has. noise:
    z > 0, Gaussian noise of standard deviation z C on the sum over patients. sampling: q in (0, 1], each patient's
    chance to take part in a step; a pass is ceil(1 / q) steps.
    """

    clip: float = Field(gt=0)
    noise: float = Field(gt=0)
    sampling: float = Field(gt=0, le=1)

    def steps(self, fit: Fit, epochs: int | None = None, steps: int | None = None) -> int:
        """How many steps a job's training has, or one of these epochs or steps."""
        a_pass = math.ceil(1 / self.sampling)
        return steps or (epochs and epochs * a_pass) or fit.steps or fit.epochs * a_pass

    def event(self, steps: int) -> Event:
        """What so many steps give away."""
        return Event("training", noise=self.noise, sampling=self.sampling, steps=steps)


@dataclass(frozen=True)
class PrivateTraining:
    """How one site must train, whatever a job asks for.

    secret: as many bytes as nobody else can guess. spend(digest, event): called before each training with what it will
    give away; raises Refused where the site's budget does not pay for it, and charges the same digest once.
    """

    terms: Training
    secret: bytes
    spend: Callable[[str, Event], None]


@dataclass(frozen=True)
class Steps:
    """The noised gradients of one training: all its randomness follows from the secret and from what it depends on.

    context: digest of everything except the weights that a step's gradient depends on. units: the samples of each
    patient. moving: the parameters that are trained. chunk: how many samples have a gradient of their own in memory.

    A step's key covers context, number and current weights, so that no two different gradients ever get the same noise:
    their difference would be free of it. It must cover the weights, because a penalty can make two trainings diverge
    after the first step. Two steps with the same key are the same computation and reveal nothing twice.
    """

    training: PrivateTraining
    context: str
    units: Sequence[Tensor]
    moving: Parameters
    chunk: int

    def gradient(self, step: int, gradients: Gradients) -> dict[str, Tensor]:
        """The step's gradient by parameter name: (sum of clipped patients' gradients + noise) / (q patients)."""
        terms, names = self.training.terms, sorted(self.moving)
        weights = {name: self.moving[name].detach() for name in names}
        key = hmac.digest(self.training.secret, f"{self.context} {step} {sha256(weights)}".encode(), "sha256")
        rng = np.random.default_rng(int.from_bytes(hmac.digest(key, b"augmentation", "sha256")))
        chosen = [self.units[at] for at in sampled(hmac.digest(key, b"patients", "sha256"), len(self.units), terms)]
        size = sum(value.numel() for value in weights.values())
        total = gaussian(hmac.digest(key, b"noise", "sha256"), size) * terms.noise * terms.clip
        for shares in clipped_sums(chosen, lambda index: gradients(index, rng), terms.clip, self.chunk):
            total += shares.cpu().numpy()
        noised = torch.from_numpy(total / (terms.sampling * len(self.units)))
        parts = torch.split(noised, [weights[name].numel() for name in names])
        return {
            name: part.reshape(weights[name].shape).to(weights[name]) for name, part in zip(names, parts, strict=True)
        }


def noised_gradients(
    training: PrivateTraining,
    descent: Descent,
    known: Mapping[str, Any],
    device: str,
    units: tuple[Sequence[Tensor], int],
    gradients: Gradients,
    count: int,
) -> Iterator[dict[str, Tensor]]:
    """The gradients of so many steps, paid for before the first.

    known: plain data on which the training depends, besides the terms and the descent. units: `units` and `chunk` of
    Steps.
    """
    everything = {
        **known,
        "terms": training.terms.model_dump(),
        "moving": sorted(descent.moving),
        "rate": descent.optimizer.param_groups[0]["lr"],
        "penalty": penalty_gradients(descent.penalty, descent.parameters),
        "correction": dict(descent.correction or {}),
    }
    context = context_of(everything, device)
    training.spend(context, training.terms.event(count))
    steps = Steps(training, context, units[0], descent.moving, units[1])
    for step in range(count):
        yield steps.gradient(step, gradients)


def sampled(secret: bytes, patients: int, terms: Training) -> list[int]:
    """Which patients take part in a step: each with probability q, independently; possibly none."""
    chosen: list[int] = np.flatnonzero(uniform(secret, patients) < terms.sampling).tolist()
    return chosen


def clipped_sums(
    units: Sequence[Tensor], gradients: Callable[[Tensor], Tensor], clip: float, chunk: int
) -> Iterator[Tensor]:
    """(P,) float64 sums over some patients each of g min(1, C / |g|), where g is the sum over a patient's samples.

    A patient whose gradient is not finite adds nothing: a server could craft weights so that one patient's overflows,
    and a refusal, or NaN in the reply, would reveal whether it is there. Holds the gradients of at most `chunk` samples
    and as many patients at a time, whatever a patient has.
    """
    for start in range(0, len(units), chunk):
        own = units[start : start + chunk]
        index, place = torch.cat(list(own)), torch.arange(len(own)).repeat_interleave(torch.tensor([*map(len, own)]))
        added: Tensor | None = None
        for some, where in zip(torch.split(index, chunk), torch.split(place, chunk), strict=True):
            found = gradients(some).double()
            added = found.new_zeros(len(own), found.shape[1]) if added is None else added
            added.index_add_(0, where.to(found.device), found)
        assert added is not None
        norms = added.norm(dim=1)
        factors = torch.where(norms.isfinite(), (clip / norms.clamp(min=1e-300)).clamp(max=1), 0.0)
        yield factors @ torch.nan_to_num(added, 0.0, 0.0, 0.0)


def sample_gradients(
    loss: Loss,
    network: nn.Module,
    moving: Parameters,
    adapt: Callable[[Tensor], Tensor],
    inputs: Tensor,
    labels: Tensor,
) -> Tensor:
    """(N, P) gradients of each sample's loss by the moving parameters in order of their names.

    adapt: what the network gets of (1, ...) inputs. Layers that work in place are made not to, which torch.func needs
    and which changes no value.
    """
    for part in network.modules():
        if getattr(part, "inplace", False):
            part.inplace = False  # type: ignore[assignment]
    still = {name: value.detach() for name, value in network.named_parameters() if name not in moving}

    def loss_of(parameters: Weights, one: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(network, {**still, **parameters}, (adapt(one[None]),))
        return loss(logits, label[None], None)

    by = {name: moving[name].detach() for name in sorted(moving)}
    found = vmap(grad(loss_of), in_dims=(None, 0, 0))(by, inputs, labels)
    return torch.cat([found[name].flatten(1) for name in by], 1)


def context_of(known: Mapping[str, Any], device: str) -> str:
    """Digest of what a training depends on and what computes it: other last bits under the same noise would show.

    known: plain data.
    """
    by = {"package": VERSION, "torch": torch.__version__, "device": device}
    return serialization.sha256({"known": known, "by": json.dumps(by)})


def penalty_gradients(penalty: Callable[[Weights], Tensor] | None, parameters: Parameters) -> list[dict[str, Tensor]]:
    """What identifies a penalty: its gradients at the parameters and next to them, by name; none without a penalty.

    Penalties of schemes are of the form a |w - b|^2 + c w, which two points determine.
    """
    if penalty is None:
        return []
    found = []
    for nudge in (0.0, 1.0):
        at = {name: (value.detach() + nudge).requires_grad_() for name, value in parameters.items()}
        slopes = torch.autograd.grad(penalty(at), list(at.values()), allow_unused=True)
        found.append({name: slope for name, slope in zip(at, slopes, strict=True) if slope is not None})
    return found

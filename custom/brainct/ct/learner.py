"""What a scheme may ask of a site: fit, gradient, features, predict, evaluate; bound to one site and one round."""

import copy
import functools
import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from brainct.core import serialization
from brainct.core.determinism import generator
from brainct.core.learner import Fitted, Layer, Model, Moments
from brainct.core.weights import Weights, check
from brainct.ct.augment import Augment, augmenter
from brainct.ct.config import Fit, ct_choices
from brainct.ct.folds import Dataset, Fold
from brainct.ct.metrics import scores
from brainct.ct.networks import NETWORKS, build, masked_bce
from brainct.errors import Refused
from brainct.job.config import Plan
from brainct.security.private_training import PrivateTraining, Steps, context_of, per_scan, pull_of
from brainct.security.signing import Identity, nobody


class SiteLearner:
    """Trains, asks and judges one network on one site's scans.

    All randomness (order of batches, augmentation, dropout) follows from the run's seed, the site's name and the round.
    A site without a single label in its training fold is refused when it is asked to train. Where a fold is named,
    `public` is the public set, whose labels are all NaN. secret: what only this site knows, for `hidden`; empty, the
    job's seed decides, as a rehearsal may; None refuses. run_secret: what only this site knows, another for each run,
    for `key`; by default it is empty, and the job's seed decides. identity: gives that of the site's kit; None
    where there is none, as in a simulation, whose sites vouch for nothing and believe everything. private: how the
    site's policy has it train; `fit` then follows from the site's secret in place of the seed, tells no loss, and is
    the only thing that reads training scans: what else would is refused. always: a scan for which a model gives no
    number counts with 0.5, since that an evaluation fails would tell of that scan.
    """

    def __init__(
        self,
        network: nn.Module,
        scans: Dataset,
        plan: Plan,
        site: str,
        round: int,
        secret: str | None = "",
        run_secret: Callable[[], bytes] = bytes,
        identity: Callable[[], Identity | None] = nobody,
        private: PrivateTraining | None = None,
        always: bool = False,
    ):
        self.network, self.scans, self.plan, self.site, self.round = network.to(scans.device), scans, plan, site, round
        self.batch_size = ct_choices(plan).fit.batch_size or scans.batch_size
        self._secret, self._run_secret, self._identity, self._private = secret, run_secret, identity, private
        self._always = always
        self._normalise: tuple[Tensor, Tensor] | None = None
        self._answer: Callable[[str], Tensor] | None = None

    def initial(self) -> Model:
        """The network with the weights that the run's seed gives it; the same at every site, without any traffic."""
        return model_of(self.plan)

    def fit(
        self,
        weights: Weights,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        penalty: Callable[[Weights], Tensor] | None = None,
        correction: Weights | None = None,
        frozen: Collection[str] = (),
        decay: bool = True,
        pseudo: Tensor | None = None,
        own: float = 0.5,
    ) -> Fitted:
        """Train from these weights for the job's epochs or steps, or for those asked for.

        penalty: added to each batch's loss; given the parameters by name, gives a scalar with a gradient.
        correction: added to the gradient, by parameter name. frozen: parameters that stay as they are.
        decay: false trains at the job's full rate, whatever the round.
        pseudo: (|U|, 6) labels of the public scans, 0, 1, or NaN for none. Passes then go over the training scans and
        all public scans with a label; the loss is own times its mean over the former and 1 - own times that over the
        latter, in expectation over batches. The two are held side by side in memory for this.

        Under the site's demand for private training a pass is ceil(1 / q) steps of its sampling, `loss` is None, and
        pseudo is refused.
        """
        self._load(weights)
        moving = {name: value for name, value in self.network.named_parameters() if name not in frozen}
        rate = self.rate() if decay else ct_choices(self.plan).fit.rate
        optimizer = self._optimizer(moving, rate)
        if self._private is not None:
            self._unread("labels of public scans" if pseudo is not None else "")
            wanted = self._private.terms.steps(ct_choices(self.plan).fit, epochs, steps)
            self._fit_privately(self._private, weights, moving, optimizer, wanted, penalty, correction)
            return Fitted(
                self._weights(), len(self._train()), wanted, rate, None, _optimizer_of(ct_choices(self.plan).fit)
            )
        fold, shares = self._united(pseudo, own)
        losses = []
        self.network.train()
        with self._seeded() as order:
            for index, images in self._batches(fold, order, epochs, steps):
                optimizer.zero_grad(set_to_none=True)
                labels = fold.labels[index].to(images.device)
                share = None if shares is None else shares[index].to(images.device)
                loss = masked_bce(self._logits(images), labels, share)
                losses.append(loss.detach())
                if penalty is not None:
                    loss = loss + penalty(dict(self.network.named_parameters()))
                loss.backward()  # type: ignore[no-untyped-call]
                _correct(moving, correction)
                optimizer.step()
        return Fitted(
            self._weights(),
            len(self._train()),
            len(losses),
            rate,
            _mean(losses),
            _optimizer_of(ct_choices(self.plan).fit),
        )

    def _fit_privately(
        self,
        private: PrivateTraining,
        weights: Weights,
        moving: dict[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
        count: int,
        penalty: Callable[[Weights], Tensor] | None,
        correction: Weights | None,
    ) -> None:
        """DP-SGD from the weights loaded: paid for, then so many steps of the optimizer on noised gradients.

        The penalty comes after the noise: it may depend on weights alone, as those of all schemes do.
        """
        fold, everything = self._train(), dict(self.network.named_parameters())
        known = {
            "plan": self.plan.model_dump(mode="json"),
            "at": [self.site, self.round, count, self.batch_size],
            "terms": private.terms.model_dump(),
            "weights": dict(weights),
            "moving": sorted(moving),
            "rate": optimizer.param_groups[0]["lr"],
            "penalty": pull_of(penalty, everything),
            "correction": dict(correction or {}),
            "normalise": list(self._normalise or ()),
            "scans": fold.digest,
        }
        context = context_of(known, self.scans.device)
        private.spend(context, private.terms.event(count))
        steps = Steps(private, context, fold.units, moving, self.batch_size)
        gradients = functools.partial(self._per_scan, fold, moving, self._augment())
        self.network.train()
        for step in range(count):
            optimizer.zero_grad(set_to_none=True)
            for name, value in steps.gradient(step, gradients).items():
                moving[name].grad = value
            if penalty is not None:
                penalty(everything).backward()  # type: ignore[no-untyped-call]
            _correct(moving, correction)
            optimizer.step()

    def _per_scan(
        self, fold: Fold, moving: dict[str, nn.Parameter], change: Augment, index: Tensor, rng: np.random.Generator
    ) -> Tensor:
        """(n, P) gradients of these scans' losses, each augmented on its own."""
        images = change(fold.images[index], rng).to(self.scans.device)
        return per_scan(self.network, moving, self.seen, images, fold.labels[index].to(self.scans.device))

    def _unread(self, what: str) -> None:
        """Refuse what would read training scans without noise where the site's policy has it train privately."""
        if self._private is not None and what:
            raise Refused(
                f"{self.site} reads its training scans through noise alone (DP-SGD), by its privacy policy, and the "
                f"scheme asks for {what}; choose another scheme, or ask the hospital's data protection officer"
            )

    def gradient(self, weights: Weights, *, batch: bool = False) -> Fitted:
        """The gradient of the mean loss over all training scans, by parameter name, without augmentation or dropout.

        batch: over one mini-batch in their place, the one that `fit` would take first in this round, augmented alike.
        """
        self._unread("a gradient over them")
        self._load(weights)
        self.network.eval()
        self.network.zero_grad(set_to_none=True)
        with self._seeded() as order:
            fold = _joined(self._train(), self._batches(self._train(), order, None, 1)) if batch else self._train()
        known = fold.labels.isfinite().sum().clamp(min=1)
        total = 0.0
        for images, labels in _in_order(fold, self.batch_size, self.scans.device):
            share = labels.isfinite().sum() / known
            loss = masked_bce(self._logits(images), labels) * share
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        gradient = {name: value.grad.cpu() for name, value in self.network.named_parameters() if value.grad is not None}
        return Fitted(gradient, len(fold), 1, self.rate(), total)

    @torch.no_grad()
    def features(self, weights: Weights, layer: str) -> tuple[Tensor, Tensor]:
        """(N, D) input of the layer at this module path and (N, 6) labels, for the training fold, not augmented."""
        self._unread("their features")
        self._load(weights)
        self.network.eval()
        seen: list[Tensor] = []
        hook = self.network.get_submodule(layer).register_forward_pre_hook(lambda _, given: seen.append(given[0].cpu()))
        try:
            for images, _ in _in_order(self._train(), self.batch_size, self.scans.device):
                self._logits(images)
        finally:
            hook.remove()
        return torch.cat(seen), self._train().labels

    @torch.no_grad()
    def activations(self, weights: Weights, layers: Sequence[str]) -> tuple[dict[str, Tensor], int]:
        """For each layer (C, 2) float64, its output channels' mean and standard deviation over scans and positions.

        layers: module paths. Of the training scans, not augmented; their number comes with it.
        """
        self._unread("the activations on them")
        self._load(weights)
        self.network.eval()
        sums = {layer: torch.zeros(0) for layer in layers}

        def add(layer: str, output: Tensor) -> None:
            values = output.double().cpu().transpose(0, 1).flatten(1)
            found = torch.stack([torch.full_like(values[:, 0], values.shape[1]), values.sum(1), values.square().sum(1)])
            sums[layer] = found + sums[layer] if len(sums[layer]) else found

        hooks = [
            self.network.get_submodule(layer).register_forward_hook(
                lambda _, __, output, layer=layer: add(layer, output)
            )
            for layer in layers
        ]
        try:
            for images, _ in _in_order(self._train(), self.batch_size, self.scans.device):
                self._logits(images)
        finally:
            for hook in hooks:
                hook.remove()
        return {layer: _mean_and_deviation(*found) for layer, found in sums.items()}, len(self._train())

    def moments(self) -> Moments:
        """Of the training scans, labelled or not, as they were read: before augmentation and normalisation."""
        self._unread("sums over their brightness")
        none = torch.zeros(ct_choices(self.plan).network.channels, dtype=torch.float64)
        sums = self.scans.sums
        return Moments(len(self.scans.folds["train"]), *sums) if sums is not None else Moments(0, none, none)

    def normalised(self, mean: Sequence[float], variance: Sequence[float]) -> "SiteLearner":
        """The same learner, whose network sees (x - mean) / sqrt(variance), channel by channel, after augmentation.

        A channel of variance under 1e-12 is constant to the accuracy of float32 and is only centred.
        """
        shape = (1, ct_choices(self.plan).network.channels, *[1] * ct_choices(self.plan).network.dims)
        flat = [value if value >= 1e-12 else 1.0 for value in variance]
        other = copy.copy(self)
        other._normalise = (torch.tensor(mean).reshape(shape), torch.tensor(flat).sqrt().reshape(shape))
        return other

    def fold(self, name: str = "train") -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W[, D]) in [0, 1] and labels (N, 6) of a fold, for a model that is no network."""
        self._unread("the scans themselves" if name == "train" else "")
        fold = self._fold(name)
        return fold.images, fold.labels

    def answering(self, predict: Callable[[str], Tensor]) -> "SiteLearner":
        """The same learner, whose probabilities (N, 6) for a fold come from this function and not from its network."""
        other = copy.copy(self)
        other._answer = predict
        return other

    @property
    def answered(self) -> bool:
        """Whether its probabilities come from a function and not from its network."""
        return self._answer is not None

    def seed(self, *words: str | int) -> int:
        """A number in [0, 2^32) that follows from the run's seed, the site and these words, the same in every round."""
        return int(generator(self.plan.seed, self.site, *words).integers(2**32))

    def hidden(self, count: int, *words: str | int) -> NDArray[np.float64]:
        """(count,) uniform in [0, 1), from SHAKE-256 over the site's secret, the run's seed, site, round and the words.

        Nobody without the secret can derive them; with it they are the same again. Refused where there is no secret.
        """
        if self._secret is None:
            raise Refused(
                f"{self.site} has no secret to draw noise from: set BRAINCT_SECRET at the site to a long random text, "
                "the same for the whole run"
            )
        text = json.dumps([self._secret, self.plan.seed, self.site, self.round, *words])
        bits = np.frombuffer(hashlib.shake_256(text.encode()).digest(8 * count), "<u8")
        return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def key(self) -> bytes:
        """32 bytes, the same in all rounds of a run: SHA-256 over the site's secret of the run, the seed, its name."""
        return hashlib.sha256(self._run_secret() + json.dumps([self.plan.seed, self.site, "key"]).encode()).digest()

    def choices(self) -> str:
        """64 hex digits over all choices of the plan: the same at all sites that the server gave the same job."""
        return serialization.sha256(self.plan.model_dump())

    def vouch(self, *words: str) -> str:
        """A proof for the other sites that this one said these words, by its certificate; empty where it has none."""
        own = self._identity()
        return own.vouch(_said(self.site, words)) if own else ""

    def check_vouched(self, site: str, proof: str, *words: str) -> None:
        """Refuse a proof that is not that site's for these words; where this site has no certificate, none is."""
        if own := self._identity():
            own.check(site, _said(site, words), proof)

    @torch.no_grad()
    def predict(self, weights: Weights, fold: str = "test") -> Tensor:
        """(N, 6) probabilities of the findings for the scans of a fold, in the fold's order."""
        self._unread("a model's answers for them" if fold == "train" else "")
        if self._answer is not None:
            return self._answer(fold)
        self._load(weights)
        self.network.eval()
        batches = _in_order(self._fold(fold), self.batch_size, self.scans.device)
        return torch.cat([torch.empty(0, 6), *(self._logits(images).sigmoid().cpu() for images, _ in batches)])

    def evaluate(self, weights: Weights, fold: str = "test") -> dict[str, Any]:
        """Scores of each finding on a fold, with counts; null and a reason where a class is absent (see ct.scores)."""
        self._unread("a model's scores on them" if fold == "train" else "")
        labels = self._fold(fold).labels.double().numpy()
        found = self.predict(weights, fold).double()
        return scores(labels, (found.nan_to_num(0.5) if self._always else found).numpy())

    def loaded(self, weights: Weights) -> nn.Module:
        """A module with these weights, (N, C, H, W[, D]) to (N, 6) logits, that sees scans as this learner does."""
        self._load(weights)
        return _Seeing(self.network, self._logits).eval()

    def rate(self) -> float:
        """The learning rate of this round."""
        fit = ct_choices(self.plan).fit
        fall = 0.5 * (1 + math.cos(math.pi * self.round / self.plan.rounds)) if fit.decay == "cosine" else 1.0
        return fit.rate * fall

    def _fold(self, name: str) -> Fold:
        if name != "public":
            return self.scans.folds[name]
        images = self.scans.public().images
        return Fold(images, torch.full((len(images), 6), torch.nan))

    def _united(self, pseudo: Tensor | None, own: float) -> tuple[Fold, Tensor | None]:
        """The training scans and the public ones with a label, and what each of their outputs counts in the loss."""
        train = self._train()
        labelled = None if pseudo is None else pseudo.isfinite().any(1)
        if pseudo is None or labelled is None or not labelled.any():
            return train, None
        images, _ = self.fold("public")
        given = pseudo[labelled].float()
        shares = [
            torch.full(labels.shape, share / int(labels.isfinite().sum()))
            for labels, share in ((train.labels, own), (given, 1 - own))
        ]
        both = Fold(torch.cat([train.images, images[labelled]]), torch.cat([train.labels, given]))
        return both, torch.cat(shares) * len(both)

    def _train(self) -> Fold:
        fold = self.scans.folds["train"]
        if not len(fold) or not fold.labels.isfinite().any():
            raise Refused(f"{self.site} has no labelled training scan; see `brainct data` for what was found")
        return fold

    def seen(self, images: Tensor) -> Tensor:
        """(N, C, H, W[, D]) images as this site's network sees them: normalised, where the learner is."""
        if self._normalise is None:
            return images
        mean, deviation = (value.to(images) for value in self._normalise)
        return (images - mean) / deviation

    def _logits(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(self.seen(images))
        return logits

    def _load(self, weights: Weights) -> None:
        state = self.network.state_dict()
        if state.keys() == weights.keys() and any(weights[key].shape != value.shape for key, value in state.items()):
            self.network = network_like(self.plan, weights).to(self.scans.device)
            state = self.network.state_dict()
        check(weights, {key: value for key, value in state.items()}, f"{self.site}, round {self.round}: the model sent")
        self.network.load_state_dict(dict(weights))

    def _weights(self) -> dict[str, Tensor]:
        return {key: value.detach().cpu().clone() for key, value in self.network.state_dict().items()}

    def _optimizer(self, moving: dict[str, nn.Parameter], rate: float) -> torch.optim.Optimizer:
        fit, parameters = ct_choices(self.plan).fit, list(moving.values())
        if fit.optimizer == "sgd":
            return torch.optim.SGD(parameters, rate, momentum=fit.momentum, weight_decay=fit.weight_decay)
        kind = torch.optim.AdamW if fit.optimizer == "adamw" else torch.optim.Adam
        return kind(parameters, rate, weight_decay=fit.weight_decay)

    @contextmanager
    def _seeded(self) -> Iterator[np.random.Generator]:
        """The generator of this round's training, from which torch's own randomness is seeded meanwhile."""
        order = generator(self.plan.seed, self.site, self.round, "batches")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(order.integers(2**63)))
            yield order

    def _batches(
        self, fold: Fold, order: np.random.Generator, epochs: int | None, steps: int | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Indices into the fold, and its images at these, augmented."""
        fit, change = ct_choices(self.plan).fit, self._augment()
        a_pass = -(-len(fold) // self.batch_size)
        wanted = steps or (epochs and epochs * a_pass) or fit.steps or fit.epochs * a_pass
        for index in _indices(order, len(fold), self.batch_size, wanted):
            yield index, change(fold.images[index], order).to(self.scans.device)

    def _augment(self) -> Augment:
        chosen = ct_choices(self.plan).fit.augment
        return (
            augmenter(chosen, ct_choices(self.plan).network.dims) if chosen is not None else lambda images, rng: images
        )


class _Seeing(nn.Module):
    """A network behind what a learner does to its input; its layers keep their paths under `network`."""

    def __init__(self, network: nn.Module, logits: Callable[[Tensor], Tensor]):
        super().__init__()
        self.network, self._logits = network, logits

    def forward(self, images: Tensor) -> Tensor:
        return self._logits(images)


def _said(site: str, words: Sequence[str]) -> str:
    """The words as a site signs them: nothing else in FLARE or here is signed in this form."""
    return json.dumps(["brainct", site, *words])


def model_of(plan: Plan) -> Model:
    """The plan's network as schemes see it, with its seeded weights, and the run's rounds."""
    return replace(described(network_of(plan), ct_choices(plan).network.architecture), rounds=plan.rounds)


def network_of(plan: Plan) -> torch.nn.Module:
    """The plan's network with the initial weights that follow from the plan's seed."""
    net = ct_choices(plan).network
    return build(net.architecture, net.channels, net.size, net.dims, plan.seed, **net.options)


def network_like(plan: Plan, weights: Weights) -> torch.nn.Module:
    """The plan's network in the widths that these weights have, where its architecture lets them differ.

    This is how a model.safetensors of grown widths is loaded: network_like(plan, weights).load_state_dict(weights).
    """
    net = ct_choices(plan).network
    options = {**net.options, **NETWORKS[net.architecture].options_of(weights)}
    return network_of(plan.model_copy(update={"network": net.model_copy(update={"options": options})}))


def described(network: nn.Module, architecture: str) -> Model:
    """A network as schemes see it: a copy of its weights, its layers in the order of its state dict."""
    weights = {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}
    paths = dict.fromkeys(key.rpartition(".")[0] for key in weights)
    kinds = {path: type(network.get_submodule(path)).__name__ for path in paths}
    layers = [
        Layer(
            path,
            kinds[path],
            tuple(key for key in weights if key.rpartition(".")[0] == path),
            getattr(network.get_submodule(path), "num_groups", 0),
        )
        for path in paths
    ]
    return Model(weights, tuple(layers), architecture)


def _indices(order: np.random.Generator, scans: int, batch_size: int, batches: int) -> Iterator[Tensor]:
    """Batches of a fresh permutation for each pass; the last batch of a pass may be smaller."""
    while batches > 0:
        shuffled = torch.from_numpy(order.permutation(scans))
        for index in torch.split(shuffled, batch_size)[:batches]:
            yield index
            batches -= 1


def _in_order(fold: Fold, batch_size: int, device: str) -> Iterator[tuple[Tensor, Tensor]]:
    for images, labels in zip(torch.split(fold.images, batch_size), torch.split(fold.labels, batch_size), strict=True):
        if len(images):
            yield images.to(device), labels.to(device)


def _joined(fold: Fold, batches: Iterator[tuple[Tensor, Tensor]]) -> Fold:
    """The fold's labels with the images that its batches gave."""
    indices, images = zip(*batches, strict=True)
    return Fold(torch.cat(images), fold.labels[torch.cat(indices)])


def _mean_and_deviation(count: Tensor, total: Tensor, squares: Tensor) -> Tensor:
    mean = total / count
    return torch.stack([mean, (squares / count - mean.square()).clamp(min=0).sqrt()], 1)


def _optimizer_of(fit: Fit) -> str:
    """The optimiser in words, as `Fitted` says it."""
    return f"sgd with momentum {fit.momentum:g}" if fit.optimizer == "sgd" and fit.momentum else fit.optimizer


def _correct(moving: dict[str, nn.Parameter], correction: Weights | None) -> None:
    for name, change in (correction or {}).items():
        if name in moving and (gradient := moving[name].grad) is not None:
            gradient.add_(change.to(gradient.device))


def _mean(losses: list[Tensor]) -> float:
    return float(torch.stack(losses).double().mean())

"""The site's own model file from a delivered one: every step is optional, and the delivered file stays as it is."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainct.adapt.calibration import Calibration, calibrated
from brainct.core.learner import Learner
from brainct.core.weights import Weights
from brainct.ct.calibration import ADAPTED
from brainct.ct.config import CtChoices, ct_choices
from brainct.ct.dataset import open_site
from brainct.ct.learner import learner_of
from brainct.ct.metrics import scores
from brainct.ct.network_check import check_network
from brainct.ct.site_config import SiteFile
from brainct.errors import Refused
from brainct.job.config import Plan
from brainct.run.model_file import ModelFile, model_sha256, write_model
from brainct.run.replay import adapted
from brainct.run.start_model import head_of
from brainct.security.credentials import offline
from brainct.training.batch_norm import has_statistics, measure_statistics
from brainct.training.data import Dataset
from brainct.training.learner import TorchLearner

"""The key in a site's model file under which it says how it was fitted."""

MOST = 512
"""Scans of which statistics are taken."""


@dataclass(frozen=True)
class SiteModel:
    """weights: with the temperatures in the head. calibration: by finding. before, after: calibration error (ECE) by
    fold and finding, of scans with labels. done: the steps, in words."""

    weights: Weights
    calibration: Mapping[str, Calibration]
    before: Mapping[str, Mapping[str, float]]
    after: Mapping[str, Mapping[str, float]]
    done: tuple[str, ...] = ()
    lineage: tuple[Mapping[str, str], ...] = field(default=(), kw_only=True)


def adapt(
    model: ModelFile, file: SiteFile | None, site: str, *, calibrate: bool, statistics: bool, head: int
) -> SiteModel:
    """Fit a delivered model to a site's scans.

    calibrate: temperature and threshold of each finding, on the validation fold. statistics: those of BatchNorm, from
    the training and validation scans, whose labels are not used. head: passes over the training fold in which the last
    layer alone is trained; 0 for none.
    """
    plan = model.plan()
    choices = ct_choices(plan)
    check_network(model.weights, choices, model.name)
    network = choices.network
    data = open_site(file, site, [site], network.size, network.dims, choices.wanted)
    learner, weights, done = _learner(plan, choices, model, data, site), dict(model.weights), []
    if statistics:
        weights = _measured(learner, weights, data, model.name)
        done.append("statistics of BatchNorm from its own scans, without labels")
    last = head_of(plan.kind.initial(plan, plan.seed, plan.rounds)).keys
    if head:
        frozen = [key for key in weights if key not in last]
        weights = dict(learner.fit(weights, epochs=head, frozen=frozen, constant_rate=True).weights)
        done.append(f"last layer trained for {head} passes")
    before = _errors(learner, weights, data, choices)
    found: dict[str, Calibration] = {}
    if calibrate:
        found = _calibrations(learner, weights, data, choices)
        weights = _cooled(learner, weights, last, [one.temperature for one in found.values()])
        done.append("temperature and threshold of each finding on its validation scans")
    after = _errors(learner, weights, data, choices)
    source = f"the delivered model, adapted: {'; '.join(done)}"
    own = {"sha256": model_sha256(model.weights, model.extra), "source": source[:300]}
    return SiteModel(weights, found, before, after, tuple(done), lineage=(*model.lineage, own))


def write(path: Path, model: ModelFile, found: SiteModel) -> None:
    """Write the site's model file, which `brainct predict` and `start_from` take like any other."""
    note = {name: asdict(one) for name, one in found.calibration.items()}
    extra = {**model.extra, ADAPTED: {"steps": list(found.done), "calibration": note}}
    write_model(path, found.weights, model.plan().model_dump(mode="json"), extra, found.lineage)


def _learner(plan: Plan, choices: CtChoices, model: ModelFile, data: Dataset, site: str) -> TorchLearner:
    learner: Learner = learner_of(choices, data, offline(plan, site, 0))
    learner = adapted(plan, model.task, learner)
    assert isinstance(learner, TorchLearner)
    return learner


def _measured(learner: TorchLearner, weights: Weights, data: Dataset, name: str) -> dict[str, Tensor]:
    module = learner.module(weights)
    if not has_statistics(module):
        raise Refused(f"{name} has no BatchNorm, so there are no statistics to take; leave --statistics out")
    scans = torch.cat([data.folds[fold].inputs for fold in ("train", "valid")])[:MOST]
    measure_statistics(module, scans.to(data.device))
    return {key: value.detach().cpu().clone() for key, value in learner.network.state_dict().items()}


def _logits(learner: TorchLearner, weights: Weights, fold: str) -> Tensor:
    module, found = learner.module(weights), learner.data.fold(fold)
    with torch.inference_mode():
        parts = [module(each.to(learner.data.device)).cpu() for each in torch.split(found.inputs, 64) if len(each)]
    return torch.cat([torch.empty(0, found.labels.shape[1]), *parts]).double()


def _calibrations(learner: TorchLearner, weights: Weights, data: Dataset, choices: CtChoices) -> dict[str, Calibration]:
    if choices.single_choice:
        raise Refused("calibration is of findings that may be there together; a single-choice job has one softmax")
    logits, labels = _logits(learner, weights, "valid").numpy(), data.fold("valid").labels.double().numpy()
    return {name: calibrated(logits[:, at], labels[:, at]) for at, name in enumerate(choices.findings)}


def _cooled(learner: TorchLearner, weights: Weights, last: tuple[str, ...], by: list[float]) -> dict[str, Tensor]:
    """The weights whose logits are the given ones' over the temperatures, which the last layer can take in."""
    scale = torch.tensor([1 / one for one in by], dtype=torch.float64)
    rows = {key: scale.view(-1, *[1] * (weights[key].ndim - 1)) for key in last}
    changed = {**weights, **{key: (weights[key].double() * rows[key]).to(weights[key].dtype) for key in last}}
    fold = next((name for name in ("valid", "train", "test") if len(learner.data.fold(name))), "train")
    wanted, got = _logits(learner, weights, fold) * scale, _logits(learner, changed, fold)
    if not torch.allclose(wanted, got, rtol=1e-3, atol=1e-3):
        raise Refused("the network's last layer does not give its logits, so it can't take in a temperature")
    return changed


def _errors(learner: TorchLearner, weights: Weights, data: Dataset, choices: CtChoices) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for fold in ("valid", "test"):
        labels = data.fold(fold).labels.double().numpy()
        if len(labels) and not choices.single_choice:
            guess = learner.predict(weights, fold).double().numpy()
            all_scores: Mapping[str, Mapping[str, Any]] = scores(labels, np.clip(guess, 0, 1), choices.findings)
            found[fold] = {name: one["ece"] for name, one in all_scores.items() if one["ece"] is not None}
    return found

"""Models to measure barriers between, of a run's sites or of files, and the loss on the scans of the run's sites.

A run stores no site's model. Its sites are simulated and their scans are all on this machine: each site takes the model
that it uses after the run and trains it once more, in memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from brainct.barriers.measure import measure_pairs
from brainct.barriers.pair import Choices, Loss
from brainct.core.arguments import one_of
from brainct.core.determinism import one_thread
from brainct.core.learner import Layer
from brainct.core.weights import Weights, check_weights, difference
from brainct.ct.config import ct_choices
from brainct.ct.dataset import open_sites
from brainct.ct.learner import learner_of
from brainct.ct.model import model_of, network_like
from brainct.ct.site_config import read_site_file
from brainct.errors import Refused
from brainct.job.config import Plan
from brainct.run.model_file import load_model
from brainct.run.replay import Replay, open_run
from brainct.security.credentials import offline
from brainct.site.data import site_file_of
from brainct.training.learner import TorchLearner
from brainct.training.losses import masked_bce, masked_choice
from brainct.training.networks import described

AT_ONCE = 64
"""Images in one forward pass."""


@dataclass(frozen=True)
class Subject:
    """Models to measure between. updates: what training changed in each. learners: with each site's scans."""

    plan: Plan
    models: Mapping[str, Weights]
    updates: Sequence[Weights]
    learners: Mapping[str, TorchLearner]

    @property
    def layers(self) -> Sequence[Layer]:
        """The network's layers, in order."""
        first = next(iter(self.models.values()))
        return described(
            network_like(ct_choices(self.plan).network, self.plan.seed, first, ct_choices(self.plan).findings),
            ct_choices(self.plan).network.architecture,
        ).layers


def models_of_run(run: Path, epochs: int | None = None) -> Subject:
    """The sites' models one round after a run: each site trains the model that it uses once more.

    epochs: at the job's full learning rate, >= 0; None for the job's number. With 0 the models are compared as the run
    left them, which is of interest for personal models; their updates are then measured from the seeded model.
    """
    if epochs is not None and epochs < 0:
        raise Refused(f"--epochs is {epochs}; wanted at least 0")
    replay = open_run(run)
    plan, model, models, updates, learners = replay.plan, replay.model(), {}, [], {}
    for site in replay.sites:
        learner, start = replay.in_use(site, model)
        assert isinstance(learner, TorchLearner)
        replay.check_fingerprint(site, learner.data.fingerprint)
        if learner.predictor is not None:
            raise Refused(f"the model that {site} of {run} uses is not a network; barriers are between networks")
        models[site] = start if epochs == 0 else learner.fit(start, epochs=epochs, constant_rate=True).weights
        updates.append(difference(models[site], _seeded(plan) if epochs == 0 else start))
        learners[site] = learner
    return Subject(plan, models, updates, learners)


def models_of_files(files: Sequence[Path]) -> Subject:
    """Models that runs wrote as RUN/model.safetensors; the loss is on the scans of all these runs' sites together."""
    models, updates, found = {}, [], dict[str, TorchLearner]()
    runs = [open_run(file.parent) for file in files]
    first = runs[0].plan
    for name, file, run in zip(_names(files), files, runs, strict=True):
        weights, start = load_model(file), _seeded(run.plan)
        check_weights(weights, start, f"{file}, for network {ct_choices(run.plan).network.architecture}")
        models[name] = weights
        updates.append(difference(weights, start))
        found |= _learners(first, run)
    return Subject(first, models, updates, found)


def _seeded(plan: Plan) -> Weights:
    return model_of(ct_choices(plan).network, plan.seed, plan.rounds, ct_choices(plan).findings).weights


def measure_subject(subject: Subject, folds: Sequence[str], finding: str, choices: Choices) -> dict[str, Any]:
    """The content of barriers.json: `measure_pairs` on the first fold; on further folds, under `also`."""
    found = {}
    for fold in folds:
        loss = loss_on(subject, fold, finding)
        pairs = measure_pairs(subject.models, subject.layers, loss, choices, subject.updates)
        found[fold] = {**pairs, "loss": {"fold": fold, "finding": finding, "scans": _count(subject, fold)}}
    return {**found[folds[0]], "also": {fold: found[fold] for fold in folds[1:]}}


def loss_on(subject: Subject, fold: str, finding: str) -> Loss:
    """Mean binary cross-entropy over the labelled outputs of all sites' scans of a fold, adapted as each site does.

    finding: one of the job's, or `all` for all outputs.
    """
    one_of("--fold", fold, ("train", "valid", "test"))
    choices = ct_choices(subject.plan)
    one_of("--finding", finding, ("all", *choices.findings))
    images = torch.cat([one.network_input(one.data.folds[fold].inputs) for one in subject.learners.values()])
    labels = torch.cat([one.data.folds[fold].labels for one in subject.learners.values()])
    at = 0 if finding == "all" else choices.findings.index(finding)
    outputs = slice(None) if finding == "all" else slice(at, at + 1)
    if not labels[:, outputs].isfinite().any():
        raise Refused(f"fold {fold} of these sites has no scan with a label of {finding}; choose another fold")
    device = next(iter(subject.learners.values())).data.device
    network = (
        network_like(choices.network, subject.plan.seed, next(iter(subject.models.values())), choices.findings)
        .to(device)
        .eval()
    )
    batches, known = torch.split(images, AT_ONCE), labels[:, outputs]

    @torch.no_grad()
    def loss(weights: Weights) -> float:
        network.load_state_dict(dict(weights))
        logits = torch.cat([network(batch.to(device)).cpu() for batch in batches])
        loss_of = masked_choice if choices.single_choice and finding == "all" else masked_bce
        return float(loss_of(logits[:, outputs].double(), known.double()))

    return loss


def _count(subject: Subject, fold: str) -> int:
    return sum(len(learner.data.folds[fold]) for learner in subject.learners.values())


def _learners(plan: Plan, run: Replay) -> dict[str, TorchLearner]:
    """A learner for each of the run's sites on the first run's network, in the round after the last."""
    path, choices = site_file_of(None), ct_choices(plan)
    file = read_site_file(path) if path else None
    found = open_sites(file, run.sites, choices.network.size, choices.network.dims, None, choices.wanted)
    for site, scans in found.items():
        run.check_fingerprint(site, scans.fingerprint)
    one_thread()
    return {site: learner_of(choices, found[site], offline(plan, site, plan.rounds)) for site in run.sites}


def _names(files: Sequence[Path]) -> list[str]:
    """The runs' folders as names, with the whole path where two are called the same."""
    short = [file.resolve().parent.name for file in files]
    return short if len(set(short)) == len(files) else [str(file) for file in files]

"""Trains a network on the phantom: a rehearsed run of one site whose scans are those of all scanners."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from brainct.ct.config import ct_choices
from brainct.ct.dataset import open_site
from brainct.ct.phantom import SCANNERS
from brainct.ct.phantom.details import check_details
from brainct.ct.site_choices import PhantomChoices, Split
from brainct.ct.site_config import SiteFile
from brainct.job.config import Plan, plan_of
from brainct.run.record import RecordWriter
from brainct.run.rehearse import rehearse
from brainct.training.data import FOLDS, Dataset, Fold

SITE = "phantom"
"""The one site of the run."""

SCANS, HELD_OUT = 108, 18
"""Training scans of each scanner; validation scans, and as many test scans."""

PREVALENCE = 0.5
"""Share of bleeding, at every scanner: a rare class would teach little."""

NETWORK = {"architecture": "cnn", "size": 64, "options": {"widths": [8, 16, 32, 64]}}

DETAIL: tuple[str, ...] = ()
"""Details of the phantom by which the scans are nearer to real ones, see phantom.details."""

BRAIN = [40.0, 80.0]
"""Level and width in HU of the window in which exports of head CT are shown; each channel has it."""

FIELD_MM = 180.0
"""Side of what an image shows: the head fills it, as in pictures that people cut out."""

AUGMENT = {"flip": True, "shift": 0.1, "rotate": 20.0, "zoom": 0.2, "scanner": 1.0}
"""Strong: what differs between hospitals should not matter to the features."""

BATCH = 16

FIT = {"optimizer": "adamw", "rate": 0.003, "decay": "cosine", "epochs": 1, "batch_size": BATCH, "augment": AUGMENT}

ROUNDS = 24
"""Passes over the scans."""


def plan_for(network: Mapping[str, Any] | None = None, rounds: int = ROUNDS, seed: int = 1, **choices: Any) -> Plan:
    """The run that makes a start model. network: see ct.config.Network; choices: more keys of a job, such as findings.

    FedAvg over one site is plain training.
    """
    chosen = dict(network or NETWORK)
    scan = {"windows": [BRAIN] * chosen.get("channels", 3), "fov_mm": FIELD_MM}
    run = {"scheme": "fedavg", "rounds": rounds, "seed": seed, "evaluate_every": 0}
    return plan_of({**run, "network": chosen, "scan": scan, "fit": FIT, **choices}, "the start model")


def details_named(words: str | None) -> tuple[str, ...]:
    """The details of the phantom in a line of names joined by commas; None gives DETAIL, `plain` gives none."""
    if words is None:
        return DETAIL
    found = () if words == "plain" else tuple(words.replace(" ", "").split(","))
    check_details(found)
    return found


def pretrain(
    plan: Plan,
    folder: Path,
    scans: int = SCANS,
    log: Callable[[str], None] = print,
    detail: Sequence[str] = DETAIL,
    **how: Any,
) -> RecordWriter:
    """Train and write a run's results to a new folder.

    scans: of each scanner. detail: of the phantom, names of phantom.details.DETAILS; how: see run.rehearse.
    """
    opener = partial(_opened, scans=scans, detail=tuple(detail))
    return rehearse(plan, [SITE], folder, opener=opener, log=log, **how)


def _opened(
    file: Path | None, site: str, sites: Sequence[str], plan: Plan, *, scans: int, detail: tuple[str, ...]
) -> Dataset:
    """All scanners' scans as those of one site, in the job's shape."""
    choices = ct_choices(plan)
    network, every = choices.network, []
    for scanner in SCANNERS:
        own = _file(scanner.name, scans, plan.seed, detail)
        every.append(open_site(own, f"start/{scanner.name}", [], network.size, network.dims, choices.wanted))
    folds = {fold: _together([one.folds[fold] for one in every]) for fold in FOLDS}
    fingerprint = sha256("".join(one.fingerprint for one in every).encode()).hexdigest()
    return Dataset("phantom", folds, fingerprint, (), BATCH, "cpu", outputs=choices.findings)


def _file(scanner: str, scans: int, seed: int, detail: tuple[str, ...]) -> SiteFile:
    whole = scans + 2 * HELD_OUT
    phantom = PhantomChoices(scans=whole, seed=seed, scanner=scanner, prevalence=PREVALENCE, detail=detail)
    split = Split(train=scans / whole, valid=HELD_OUT / whole, test=HELD_OUT / whole)
    return SiteFile(kind="phantom", phantom=phantom, split=split, device="cpu")


def _together(folds: Sequence[Fold]) -> Fold:
    return Fold(torch.cat([fold.inputs for fold in folds]), torch.cat([fold.labels for fold in folds]))

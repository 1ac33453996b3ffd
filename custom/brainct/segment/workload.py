"""Segmentation as a workload: opens a site's scans and masks, says what leaves, and gives the learner."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from torch import nn

from brainct.core.learner import Learner, Model
from brainct.core.workload import Context, Workload
from brainct.ct.disclosures import PARTS, parts_of
from brainct.ct.reply_schema import description_of
from brainct.ct.workload import CT
from brainct.errors import Refused
from brainct.segment import reply_schema
from brainct.segment.config import SegmentChoices
from brainct.segment.dataset import open_site, presence
from brainct.segment.disclosures import ROWS, SCORE_KEYS
from brainct.segment.learner import learner_of, model_of, network_of
from brainct.segment.networks import options_of
from brainct.training.data import Dataset
from brainct.training.descent import OPTIMIZER_IMPORTS

HEADLINES = {"dice": "Dice", "surface_dice": "surface Dice", "false_alarms": "false alarms"}


class SegmentWorkload(Workload):
    """See core.workload.Workload."""

    name = "segment"
    offers = frozenset({"network", "images", "samples"})
    choices = SegmentChoices
    description = CT.description
    scores = reply_schema.scores_of(SegmentChoices().findings)
    disclosures = ROWS
    parts = PARTS
    score_keys = SCORE_KEYS
    headlines = HEADLINES
    imports = (OPTIMIZER_IMPORTS,)

    def outputs(self, choices: SegmentChoices) -> tuple[str, ...]:
        """The findings of the job."""
        return choices.findings

    def description_of(self, choices: SegmentChoices) -> type[BaseModel]:
        """Counts of the job's findings."""
        return description_of(choices.findings)

    def scores_of(self, choices: SegmentChoices) -> type[BaseModel]:
        """Scores of the job's findings."""
        return reply_schema.scores_of(choices.findings)

    def parts_of(self, choices: SegmentChoices) -> Mapping[str, str]:
        """The job's findings in place of the six."""
        return parts_of(choices.findings)

    def initial(self, choices: SegmentChoices, seed: int, rounds: int) -> Model:
        """The network with the weights that follow from the seed."""
        return model_of(choices, seed, rounds)

    def network(self, choices: SegmentChoices) -> tuple[str, Mapping[str, Any]]:
        """Architecture and options as the job states them."""
        return choices.network.architecture, choices.network.options

    def options(self, architecture: str) -> Mapping[str, Any]:
        """The default options of an architecture."""
        return options_of(architecture)

    def open(self, file: Path | None, site: str, sites: Sequence[str], choices: SegmentChoices) -> Dataset:
        """The site's scans with their masks; without a site file, the synthetic phantom with its own."""
        return open_site(file, site, choices)

    def check(self, data: Dataset, choices: SegmentChoices, site: str) -> None:
        """Refuse scans with another number of HU windows than the network has channels."""
        found = next(fold.inputs.shape[1] for fold in data.folds.values() if len(fold))
        if found != choices.network.channels:
            raise Refused(f"{site} has {found} HU windows, the job's network takes {choices.network.channels} channels")

    def describe(self, data: Dataset, public: bool = False) -> dict[str, Any]:
        """Counts of scans with and without a mask of each finding, a fingerprint, notes."""
        folds = {name: replace(fold, labels=presence(fold.labels)) for name, fold in data.folds.items()}
        return CT.describe(replace(data, folds=folds))

    def samples(self, description: Mapping[str, Any], fold: str) -> int:
        """Scans in a fold."""
        return CT.samples(description, fold)

    def without_small(self, description: Mapping[str, Any], least: int, choices: SegmentChoices) -> dict[str, Any]:
        """Of a finding that lacks one side, the other is left out too."""
        return CT.counts_without_small(description, least)

    def prepare(self, choices: SegmentChoices, seed: int) -> nn.Module:
        """The network that the job chooses."""
        return network_of(choices, seed)

    def learner(self, choices: SegmentChoices, data: Dataset, context: Context, prepared: nn.Module) -> Learner:
        """A TorchLearner on the network that the job chooses."""
        return learner_of(choices, data, context, prepared)

    def headline(self, scores: Mapping[str, Any]) -> Mapping[str, float | None]:
        """Dice, surface Dice and false alarms of `any`; in a job without it the mean over the findings."""
        return CT.headline_of(scores, HEADLINES)

    def missing(self, scores: Mapping[str, Any]) -> str | None:
        """The reason of `any`, or of the first finding."""
        return CT.missing(scores)


SEGMENT = SegmentWorkload()

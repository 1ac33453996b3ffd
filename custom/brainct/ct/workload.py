"""Head CT as a workload: opens a site's scans, says what leaves, and gives the learner."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from torch import nn

from brainct.core.learner import Learner, Model
from brainct.core.weights import Weights, check_weights
from brainct.core.workload import Context, Workload
from brainct.ct import reply_schema
from brainct.ct.config import CtChoices
from brainct.ct.dataset import open_site, open_sites
from brainct.ct.disclosures import PARTS, ROWS, SCORE_KEYS, parts_of
from brainct.ct.folds import FINDINGS, STUDY
from brainct.ct.learner import learner_of
from brainct.ct.model import model_of, network_of
from brainct.ct.networks import NETWORKS
from brainct.ct.site_config import read_site_file
from brainct.ct.start_models import START_MODELS
from brainct.errors import Refused
from brainct.training.data import Dataset, Fold
from brainct.training.descent import OPTIMIZER_IMPORTS

HEADLINES = {"auroc": "AUROC", "balanced_accuracy": "balanced accuracy", "brier": "Brier score"}
OFFERS = frozenset({"network", "images", "samples", "labels", "public"})


class CtWorkload(Workload):
    """See core.workload.Workload."""

    name = "ct"
    offers = OFFERS
    choices = CtChoices
    description = reply_schema.Description
    scores = reply_schema.Scores
    disclosures = ROWS
    parts = PARTS
    score_keys = SCORE_KEYS
    headlines = HEADLINES
    lower_is_better = frozenset({"brier"})
    imports = (OPTIMIZER_IMPORTS, "sklearn.metrics")
    start_models = START_MODELS

    def outputs(self, choices: CtChoices) -> tuple[str, ...]:
        """The findings of the job; also those of studies, if it pools slices."""
        studies = tuple(f"{STUDY}{name}" for name in choices.findings) if choices.scan.study else ()
        return (*choices.findings, *studies)

    def initial(self, choices: CtChoices, seed: int, rounds: int) -> Model:
        """The network with the weights that follow from the seed."""
        return model_of(choices.network, seed, rounds, choices.findings)

    def network(self, choices: CtChoices) -> tuple[str, Mapping[str, Any]]:
        """Architecture and options as the job states them."""
        return choices.network.architecture, choices.network.options

    def options(self, architecture: str) -> Mapping[str, Any]:
        """The default options of an architecture."""
        return NETWORKS[architecture].options() if architecture in NETWORKS else {}

    def open(self, file: Path | None, site: str, sites: Sequence[str], choices: CtChoices) -> Dataset:
        """The site's scans."""
        content = read_site_file(file) if file else None
        return open_site(content, site, sites, choices.network.size, choices.network.dims, choices.wanted)

    def open_all(self, file: Path | None, sites: Sequence[str], choices: CtChoices) -> Mapping[str, Dataset] | None:
        """The scans of all sites where the site file partitions one data set among them."""
        content = read_site_file(file) if file else None
        if content is None or content.partition is None or content.earlier is not None:
            return None
        return open_sites(content, sites, choices.network.size, choices.network.dims, None, choices.wanted)

    def check(self, data: Dataset, choices: CtChoices, site: str) -> None:
        """Refuse scans with other HU windows than the network's channels, and a batch size beyond the job's bounds."""
        choices.fit.batch_of(data.batch_size, site)
        found = next(fold.inputs.shape[1] for fold in data.folds.values() if len(fold)) // choices.wanted.slices
        channels, slices = choices.network.channels, choices.wanted.slices
        if found * slices != channels:
            each = f" of {slices} slices" * (slices > 1)
            raise Refused(f"{site} has {found} HU windows{each}, the job's network takes {channels} channels")

    def check_public(self, data: Dataset) -> None:
        """Refuse scans without a public set."""
        data.public()

    def describe(self, data: Dataset, public: bool = False) -> dict[str, Any]:
        """Counts, a fingerprint, notes; no path, no patient. public: also how many public scans, and their digest."""
        folds = {name: _counts(fold, data.outputs or FINDINGS) for name, fold in data.folds.items()}
        about = {"kind": data.kind, "folds": folds, "fingerprint": data.fingerprint, "notes": list(data.notes)}
        if not public:
            return about
        found = data.public()
        return {**about, "public": {"scans": len(found.inputs), "fingerprint": found.fingerprint}}

    def samples(self, description: Mapping[str, Any], fold: str) -> int:
        """Scans in a fold."""
        return int(description["folds"].get(fold, {}).get("scans", 0))

    def description_of(self, choices: CtChoices) -> type[BaseModel]:
        """Counts of the job's findings."""
        return reply_schema.description_of(choices.findings)

    def scores_of(self, choices: CtChoices) -> type[BaseModel]:
        """Scores of the job's findings."""
        return reply_schema.scores_of(self.outputs(choices))

    def parts_of(self, choices: CtChoices) -> Mapping[str, str]:
        """The job's findings in place of the six."""
        return parts_of(self.outputs(choices))

    def exclusive(self, choices: CtChoices) -> bool:
        """In a single-choice job."""
        return choices.single_choice

    def without_small(self, description: Mapping[str, Any], least: int, choices: CtChoices) -> dict[str, Any]:
        """Of a finding that lacks one side, the other is left out too: the number of scans would give the first.

        In a single-choice job all findings are left out where one lacks a side.
        """
        return self.counts_without_small(description, least, choices.single_choice)

    def counts_without_small(self, description: Mapping[str, Any], least: int, single: bool = False) -> dict[str, Any]:
        """See `without_small`; single: whether each scan has one finding alone."""
        folds = description["folds"].items()
        return {**description, "folds": {name: _large(fold, least, single) for name, fold in folds}}

    def prepare(self, choices: CtChoices, seed: int) -> nn.Module:
        """The network that the job chooses."""
        return network_of(choices.network, seed, choices.findings)

    def learner(self, choices: CtChoices, data: Dataset, context: Context, prepared: nn.Module) -> Learner:
        """A TorchLearner on the network that the job chooses."""
        return learner_of(choices, data, context, prepared)

    def fits(self, weights: Weights, choices: CtChoices) -> None:
        """Refuse other tensors than those of the network that the job chooses."""
        wanted = model_of(choices.network, 0, 0, choices.findings).weights
        check_weights(weights, wanted, f"the checkpoint, for network {choices.network.architecture}")

    def headline(self, scores: Mapping[str, Any]) -> Mapping[str, float | None]:
        """AUROC, balanced accuracy and Brier score of `any`; in a job without it the mean over the findings."""
        return self.headline_of(scores, HEADLINES)

    def headline_of(self, scores: Mapping[str, Any], names: Iterable[str]) -> Mapping[str, float | None]:
        """The numbers of these names, see `headline`."""
        found = _main(scores)
        return {name: _mean([one.get(name) for one in found]) for name in names}

    def missing(self, scores: Mapping[str, Any]) -> str | None:
        """The reason of `any`, or of the first finding."""
        reasons = [one.get("reason") for one in _main(scores)]
        reason: str | None = reasons[0] if reasons and None not in reasons else None
        return reason


CT = CtWorkload()


def _main(scores: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The scores by which models are compared."""
    if "any" in scores:
        return [scores["any"]]
    return [one for name, one in scores.items() if not name.startswith(STUDY)]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _counts(fold: Fold, findings: Sequence[str]) -> dict[str, Any]:
    positives = {name: int((fold.labels[:, i] == 1).sum()) for i, name in enumerate(findings)}
    negatives = {name: int((fold.labels[:, i] == 0).sum()) for i, name in enumerate(findings)}
    return {"scans": len(fold), "positives": positives, "negatives": negatives}


def _large(fold: Mapping[str, Any], least: int, single: bool) -> dict[str, Any]:
    both = ("positives", "negatives")
    large = [finding for finding in fold[both[0]] if min(fold[side][finding] for side in both) >= least]
    if single and len(large) < len(fold[both[0]]):
        large = []
    return {**fold, **{side: {finding: fold[side][finding] for finding in large} for side in both}}

"""A table as a workload: opens a site's samples, says what leaves, and gives the learner."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from brainct.core.learner import Learner, Model
from brainct.core.workload import Context, Workload
from brainct.table import reply_schema
from brainct.table.config import Model as ModelChoices
from brainct.table.config import TableChoices
from brainct.table.dataset import TableData, open_site
from brainct.table.disclosures import ROWS, SCORE_KEYS
from brainct.table.learner import learner_of
from brainct.table.metrics import ALL
from brainct.table.networks import model_of, network_of
from brainct.table.scaler import pooled, sums_of
from brainct.training.data import Fold
from brainct.training.descent import OPTIMIZER_IMPORTS

HEADLINES = {"auroc": "AUROC", "accuracy": "accuracy", "log_loss": "log loss", "rmse": "RMSE"}
SUMS = "sums over each column of its training samples (standardise: true)"


class TableWorkload(Workload):
    """See core.workload.Workload."""

    name = "table"
    offers = frozenset({"network", "samples", "labels", "public"})
    choices = TableChoices
    description = reply_schema.Description
    scores = reply_schema.Scores
    disclosures = ROWS
    score_keys = SCORE_KEYS
    headlines = HEADLINES
    lower_is_better = frozenset({"log_loss", "rmse"})
    imports = (OPTIMIZER_IMPORTS, "sklearn.metrics")

    def outputs(self, choices: TableChoices) -> tuple[str, ...]:
        """One, whose scores are over all outputs of the model."""
        return (ALL,)

    def initial(self, choices: TableChoices, seed: int, rounds: int) -> Model:
        """The network with the weights that follow from the seed."""
        return model_of(choices, seed, rounds)

    def network(self, choices: TableChoices) -> tuple[str, Mapping[str, Any]]:
        """The kind of model, and its hidden layers where it has any."""
        kind = choices.model.kind
        return kind, {"hidden": choices.model.hidden} if kind == "mlp" else {}

    def options(self, architecture: str) -> Mapping[str, Any]:
        """The default hidden layers of `mlp`."""
        return {"hidden": ModelChoices().hidden} if architecture == "mlp" else {}

    def open(self, file: Path | None, site: str, sites: Sequence[str], choices: TableChoices) -> TableData:
        """The site's samples; without a site file its share of a demonstration table."""
        return open_site(file, site, sites, choices)

    def check(self, data: TableData, choices: TableChoices, site: str) -> None:
        """Refuse a batch size outside the job's bounds."""
        choices.fit.batch_of(data.batch_size, site)

    def check_public(self, data: TableData) -> None:
        """Refuse data without a public set."""
        data.public()

    def describe(self, data: TableData, public: bool = False) -> dict[str, Any]:
        """Counts, sums of columns, a fingerprint, notes. public: also the size of the public set and its digest."""
        folds = {name: _counts(fold, data) for name, fold in data.folds.items()}
        about = {"kind": data.kind, "folds": folds, "fingerprint": data.fingerprint, "notes": list(data.notes)}
        if data.standardise:
            about = {**about, "sums": sums_of(data)}
        if not public:
            return about
        found = data.public()
        return {**about, "public": {"scans": len(found.inputs), "fingerprint": found.fingerprint}}

    def samples(self, description: Mapping[str, Any], fold: str) -> int:
        """Samples in a fold."""
        return int(description["folds"].get(fold, {}).get("samples", 0))

    def without_small(self, description: Mapping[str, Any], least: int, choices: TableChoices) -> dict[str, Any]:
        """In a fold where one class is small all are withheld: the number of samples would give it away."""
        return {**description, "folds": {name: _large(fold, least) for name, fold in description["folds"].items()}}

    def shared(self, descriptions: Mapping[str, Mapping[str, Any]], choices: TableChoices) -> dict[str, Any]:
        """Each column's mean and deviation over the training samples of all sites."""
        return pooled([one["sums"] for _, one in sorted(descriptions.items())]) if choices.standardise else {}

    def unnoised(self, choices: TableChoices) -> str:
        """The sums of the columns, if the job standardises them."""
        return SUMS if choices.standardise else ""

    def prepare(self, choices: TableChoices, seed: int) -> nn.Module:
        """The network that the job chooses."""
        return network_of(choices, seed)

    def learner(self, choices: TableChoices, data: TableData, context: Context, prepared: nn.Module) -> Learner:
        """A TorchLearner on the columns as all sites scale them."""
        return learner_of(choices, data, context, prepared)

    def headline(self, scores: Mapping[str, Any]) -> Mapping[str, float | None]:
        """Of a classification AUROC, accuracy and log loss; of a regression RMSE."""
        return {name: scores.get(ALL, {}).get(name) for name in HEADLINES}

    def missing(self, scores: Mapping[str, Any]) -> str | None:
        """The reason."""
        reason: str | None = scores.get(ALL, {}).get("reason")
        return reason


TABLE = TableWorkload()


def _counts(fold: Fold, data: TableData) -> dict[str, Any]:
    """Samples of each class: without and with the property, or of each class; none for a regression."""
    known = fold.labels[~fold.labels.isnan().any(1)]
    positives = [int(one) for one in known.sum(0)] if data.task != "regression" else []
    classes = [len(known) - positives[0], *positives] if data.task == "binary" else positives
    return {"samples": len(fold), "labelled": len(known), "classes": classes}


def _large(fold: Mapping[str, Any], least: int) -> dict[str, Any]:
    classes = fold["classes"]
    return dict(fold) if all(one >= least for one in classes) else {**fold, "classes": [None] * len(classes)}

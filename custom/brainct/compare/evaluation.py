"""Predictions of a finished run, sample by sample: at each site and at a held-out site."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainct.compare.federation import HELD_OUT_SITE, Opened
from brainct.compare.run_row import SCALARS
from brainct.core.learner import Learner
from brainct.core.weights import Weights
from brainct.errors import Refused
from brainct.job.config import Plan
from brainct.run.replay import Replay, shared_of
from brainct.security.credentials import offline
from brainct.training.data import Dataset, Fold
from brainct.training.learner import TorchLearner

Array = np.ndarray[Any, np.dtype[np.float64]]
Prediction = tuple[Array, Array]
"""(N, F) labels and (N, F) predictions."""


class Evaluation:
    """Evaluates the models that sites would use after a run. opened: the data of its sites and a held-out site."""

    def __init__(self, replay: Replay, opened: Opened):
        model = replay.model()
        self.plan, self.task, self.opened = replay.plan, model.task, opened
        self._in_use = {site: replay.in_use(site, model) for site in replay.sites}

    def at_sites(self, sites: Sequence[str], fold: str) -> dict[str, Prediction]:
        """Each site's prediction on its fold, by the model that it would use."""
        found = {}
        for site in sites:
            learner, weights = self._in_use[site]
            found[site] = (self._labels(site, fold), learner.predict(weights, fold).double().numpy())
        return found

    def scores(self, prediction: Prediction) -> dict[str, dict[str, Any]]:
        """The workload's scores of each output."""
        learner, _ = next(iter(self._in_use.values()))
        assert isinstance(learner, TorchLearner)
        labels, predictions = prediction
        fold = Fold(torch.empty(len(labels), 0), torch.from_numpy(labels))
        return dict(learner.task.scores(fold, predictions))

    def at_held_out_site(self, sites: Sequence[str]) -> dict[str, Any]:
        """Scores at the held-out site; if each site trained alone, the mean over the sites' own models."""
        if self.plan.scheme != "local":
            return self.scores(self._predict_delivered())
        each = [self.scores(self._predict_with_model_of(site)) for site in sites]
        return {
            output: {name: mean_of_known([one[output][name] for one in each]) for name in SCALARS if name in some}
            for output, some in each[0].items()
        }

    def _predict_delivered(self) -> Prediction:
        """The held-out site has no labels: a scheme that would tune on them leaves the model as it is."""
        scheme = self.plan.build()
        learner = scheme.adapt_input(self.task, self._held_out_learner(), {})
        try:
            weights = scheme.personalise(self.task, learner, {})
        except Refused:
            weights = self.task.weights
        return self._labels(HELD_OUT_SITE, "test"), learner.predict(weights, "test").double().numpy()

    def _predict_with_model_of(self, site: str) -> Prediction:
        weights: Weights = self._in_use[site][1]
        probabilities = self._held_out_learner().predict(weights, "test").double().numpy()
        return self._labels(HELD_OUT_SITE, "test"), probabilities

    def _held_out_learner(self) -> Learner:
        kind, shared = self.plan.kind, shared_of(self.task)
        context = offline(self.plan, HELD_OUT_SITE, self.plan.rounds, shared=shared)
        data, prepared = self.opened[HELD_OUT_SITE], kind.prepare(self.plan, self.plan.seed)
        return kind.learner(self.plan, data, context, prepared)

    def _labels(self, site: str, fold: str) -> Array:
        labels: Array = self.opened[site].folds[fold].labels.double().numpy()
        return labels


def mean_of_known(values: Sequence[float | None]) -> float | None:
    """The mean of the values that are not None; None without one."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def opener(scans: Opened) -> Callable[..., Dataset]:
    """A function that opens a site's data for a site agent; it returns these."""

    def open_scans(file: Path | None, site: str, sites: Sequence[str], plan: Plan) -> Dataset:
        return scans[site]

    return open_scans

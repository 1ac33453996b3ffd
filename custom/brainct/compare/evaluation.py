"""Predictions of a finished run, scan by scan: at each site and at a held-out site."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from brainct.compare.simulated_sites import HELD_OUT_SITE
from brainct.core.weights import Weights
from brainct.ct.config import ct_choices
from brainct.ct.learner import learner_of
from brainct.ct.metrics import scores
from brainct.errors import Refused
from brainct.job.config import Plan
from brainct.run.replay import Replay
from brainct.security.credentials import offline
from brainct.training.data import Dataset
from brainct.training.learner import TorchLearner

Opened = Mapping[str, Dataset]
"""Opened scans by site."""
Array = np.ndarray[Any, np.dtype[np.float64]]
Prediction = tuple[Array, Array]
"""(N, 6) labels and (N, 6) probabilities."""

AVERAGED = ("auroc", "balanced_accuracy", "sensitivity_at_90_specificity", "brier", "ece")
"""The scores whose mean over several models makes sense."""


class Evaluation:
    """Evaluates the models that sites would use after a run. opened: the scans of its sites and a held-out site."""

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

    def at_held_out_site(self, sites: Sequence[str]) -> dict[str, Any]:
        """Scores at the held-out site; if each site trained alone, the mean over the sites' own models."""
        if self.plan.scheme != "local":
            return self.scores(self._predict_delivered())
        each = [self.scores(self._predict_with_model_of(site)) for site in sites]
        return {
            finding: {name: mean_of_known([one[finding][name] for one in each]) for name in AVERAGED}
            for finding in ct_choices(self.plan).findings
        }

    def scores(self, prediction: Prediction) -> dict[str, dict[str, Any]]:
        """The scores of the job's findings."""
        return scores(*prediction, findings=ct_choices(self.plan).findings)

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

    def _held_out_learner(self) -> TorchLearner:
        context = offline(self.plan, HELD_OUT_SITE, self.plan.rounds)
        return learner_of(ct_choices(self.plan), self.opened[HELD_OUT_SITE], context)

    def _labels(self, site: str, fold: str) -> Array:
        labels: Array = self.opened[site].folds[fold].labels.double().numpy()
        return labels


def mean_of_known(values: Sequence[float | None]) -> float | None:
    """The mean of the values that are not None; None without one."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def opener(scans: Opened) -> Callable[..., Dataset]:
    """A function that opens a site's scans for a site agent; it returns these."""

    def open_scans(file: Path | None, site: str, sites: Sequence[str], plan: Plan) -> Dataset:
        return scans[site]

    return open_scans

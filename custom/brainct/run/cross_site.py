"""The models that a rehearsed run's sites use, each scored on every site's test fold; trains nothing of its own."""

import json
from collections.abc import Mapping
from pathlib import Path

from brainct.core import serialization
from brainct.errors import Refused
from brainct.job.config import uses_own_models
from brainct.run.replay import open_run
from brainct.training.learner import TorchLearner

FILE = "cross_site.json"
Matrix = Mapping[str, Mapping[str, Mapping[str, float | None]]]
"""By site whose model it is, then by site on whose test fold it was scored: the headline scores."""


def cross(run: Path) -> Matrix:
    """The matrix of a run whose sites' client state and data are on this machine, as a rehearsal's are.

    A site scores another's model with its own adaptation of the input, where the scheme has one.
    """
    replay = open_run(run)
    if not uses_own_models(replay.plan.build()):
        raise Refused(
            f"{run}: with {replay.plan.scheme} every site uses the delivered model, and the table of the run has its "
            "scores; to score the models that sites sent, run a job with cross_site: true"
        )
    delivered, learners, models = replay.model(), {}, {}
    for site in replay.sites:
        learner, models[site] = replay.in_use(site, delivered)
        assert isinstance(learner, TorchLearner)
        replay.check_fingerprint(site, learner.data.fingerprint)
        if learner.predictor is not None:
            raise Refused(f"{run}: the model that {site} uses is no network, which another site could score")
        learners[site] = learner
    headline = replay.plan.kind.headline
    return {
        site: {where: headline(learner.evaluate(model, "test")) for where, learner in learners.items()}
        for site, model in models.items()
    }


def write(run: Path, matrix: Matrix) -> Path:
    """Write the matrix into the run's folder, where its report finds it."""
    path = run / FILE
    serialization.write(path, json.dumps(matrix, indent=1, allow_nan=False).encode())
    return path

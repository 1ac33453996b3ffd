"""How many bytes a scheme's rounds cost a site: its own functions run dry, on the weights of its job's network."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainct.core import serialization
from brainct.core.determinism import generator, one_thread
from brainct.core.learner import Credentials, Fitted, Learner, Model, Record, Transform
from brainct.core.scheme import Report, Task, followed
from brainct.core.weights import Weights, filled
from brainct.core.workload import Context
from brainct.ct.config import ct_choices
from brainct.job.config import Plan, plan_of
from brainct.job.folders import JOBS
from brainct.security.signing import PROOF

SITES, ROUNDS, SCANS, PUBLIC = 5, 5, 16, 96


@functools.cache
def traffic(name: str) -> tuple[int, int]:
    """Bytes to and from a site in a round, the mean over 5 sites and the first 5 rounds of the scheme's own job.

    Nobody trains: a site's model takes a small step of its own in place of it. Sizes are true, values are not.
    """
    one_thread()
    plan = plan_of(JOBS[name], f"jobs/{name}")
    plan = plan.model_copy(update={"rounds": min(ROUNDS, plan.rounds)})
    scheme, sites = plan.build(), [f"site-{number}" for number in range(1, SITES + 1)]
    keeps = {site: dict[str, Any]() for site in sites}
    memory = scheme.start(replace(_initial(plan), public=PUBLIC), sites, 0)
    to, back = 0, 0
    for number in range(plan.rounds):

        def ask(site: str, task: Task, number: int = number) -> Report:
            nonlocal to, back
            learner = Stepping(plan, site, number) if plan.workload == "ct" else _demonstration(plan, site, number)
            report, client_state = scheme.reply(task, learner, keeps[site])
            keeps[site] = dict(client_state)
            to += serialization.size({"weights": task.weights, "extra": task.extra})
            said = {"examples": report.examples, "metrics": report.metrics, "extra": report.extra}
            back += serialization.size({"weights": report.weights, **said})
            return report

        reports = {site: ask(site, task) for site, task in sorted(scheme.assign(memory, number, sites).items())}
        memory = scheme.combine(memory, number, followed(scheme, memory, number, reports, ask))
    return math.ceil(to / SITES / plan.rounds), math.ceil(back / SITES / plan.rounds)


def _initial(plan: Plan) -> Model:
    """The seeded model, made once for all jobs of one network: no scheme changes what it is given."""
    key = plan.model_dump_json(exclude={"scheme", "arguments", "evaluate_every", "fit"})
    if key not in _MODELS:
        _MODELS[key] = plan.kind.initial(plan, plan.seed, plan.rounds)
    return _MODELS[key]


_MODELS: dict[str, Model] = {}


def _demonstration(plan: Plan, site: str, number: int) -> Learner:
    """The learner on the data that a site without a site file has."""
    sites = [f"site-{at}" for at in range(1, SITES + 1)]
    context = Context(plan.seed, plan.rounds, site, number, _Sized(site))
    return plan.kind.learner(plan, plan.kind.open(None, site, sites, plan), context, plan.kind.prepare(plan, plan.seed))


@dataclass(frozen=True)
class Stepping:
    """A learner without scans: training adds a step, what it tells of scans is made up; the sizes are the real ones."""

    plan: Plan
    site: str
    round: int

    def initial(self) -> Model:
        """The seeded model."""
        return _initial(self.plan)

    def fit(self, weights: Weights, **_: Any) -> Fitted:
        """A step of each number, as long as the site's number says."""
        step = 1e-4 * int(self.site.rpartition("-")[2])
        moved = {key: value + step if value.is_floating_point() else value for key, value in weights.items()}
        return Fitted(moved, SCANS, 2, ct_choices(self.plan).fit.rate, 0.5, "sgd")

    def gradient(self, weights: Weights, *, batch: bool = False) -> Fitted:
        """A gradient of ones."""
        return Fitted(filled(weights, 1.0), SCANS, 1, ct_choices(self.plan).fit.rate, 0.5)

    @property
    def credentials(self) -> Credentials:
        """Of the real sizes."""
        return _Sized(self.site)

    def samples(self, fold: str = "train") -> tuple[Tensor, Tensor]:
        """Samples of one pixel each, every other one with all findings."""
        scans = PUBLIC if fold == "public" else SCANS
        labels = (torch.arange(scans) % 2).float()[:, None].expand(-1, 6)
        return torch.zeros(scans, ct_choices(self.plan).network.channels, 1, 1), labels

    def observe(self, weights: Weights, layers: Sequence[str], record: Record) -> Tensor:
        """Random inputs and outputs of the layers; every other scan with all findings."""
        outputs = 6
        for layer in layers:
            shape = weights[f"{layer}.weight"].shape
            width, outputs = shape[1] if len(shape) > 1 else shape[0], shape[0]
            rng = generator(self.plan.seed, self.site, layer)
            drawn = (torch.from_numpy(rng.standard_normal((SCANS, count))).float() for count in (width, outputs))
            record(layer, *drawn)
        return (torch.arange(SCANS) % 2).float()[:, None].expand(-1, outputs)

    def adapted(self, inputs: Transform | None = None, predictor: Callable[[str], Tensor] | None = None) -> Learner:
        """Itself: it sees nothing, and its answers are made up in any case."""
        return self

    def predict(self, weights: Weights, fold: str = "test") -> Tensor:
        """One half for every finding."""
        return torch.full((PUBLIC if fold == "public" else SCANS, 6), 0.5)

    def evaluate(self, weights: Weights, fold: str = "test") -> Mapping[str, Any]:
        """Half of the scans with each finding."""
        return {str(finding): {"positives": SCANS // 2, "negatives": SCANS // 2} for finding in range(6)}


@dataclass(frozen=True)
class _Sized:
    """Credentials of the real sizes, of no worth."""

    site: str

    def seed(self, *words: str | int) -> int:
        """The same for all words."""
        return 0

    def private_uniform(self, count: int, *words: str | int) -> NDArray[np.float64]:
        """One half each."""
        return np.full(count, 0.5)

    def run_key(self) -> bytes:
        """Its name, in 32 bytes."""
        return self.site.encode().ljust(32)

    def job_digest(self) -> str:
        """As long as a real one."""
        return "0" * 64

    def sign(self, *words: str) -> str:
        """As long as a proof with FLARE's certificates."""
        return "0" * PROOF

    def verify(self, site: str, proof: str, *words: str) -> None:
        """It believes everything."""

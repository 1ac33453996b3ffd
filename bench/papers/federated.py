"""Federations for the papers' experiments: schemes of this package, with rounds by hand, on generated tables."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from brainct.core.learner import Fitted, Learner, Model
from brainct.core.scheme import ClientState, Memory, Report, Scheme, Task, followed
from brainct.core.weights import Weights
from brainct.job.config import plan_of
from brainct.security.credentials import offline
from brainct.table.dataset import dataset_of
from brainct.table.samples import Samples
from brainct.table.site_config import TableFile
from brainct.table.workload import TABLE
from brainct.training.learner import TorchLearner

Floats = NDArray[np.float64]
Learners = Callable[[str, int], Learner]


def played(
    scheme: Scheme,
    memory: Memory,
    sites: Sequence[str],
    rounds: int,
    learner: Learners,
    seen: Callable[[Mapping[str, Task]], None] = lambda tasks: None,
) -> tuple[Memory, Mapping[str, ClientState]]:
    """The server's memory and the sites' states after these rounds.

    learner: gives one site's for one round. seen: is given a round's tasks before any site is asked.
    """
    keeps: dict[str, ClientState] = {site: {} for site in sites}
    for number in range(rounds):

        def ask(site: str, task: Task, number: int = number) -> Report:
            report, keeps[site] = scheme.reply(task, learner(site, number), keeps[site])
            return report

        tasks = scheme.assign(memory, number, sites)
        seen(tasks)
        reports = {site: ask(site, task) for site, task in sorted(tasks.items())}
        memory = scheme.combine(memory, number, followed(scheme, memory, number, reports, ask))
    return memory, keeps


@dataclass(frozen=True)
class Tables:
    """A federation on the table workload: each site has the next `own` rows for training, and all have one test fold.

    inputs: (N, d), labels: (N, F) of 0 and 1, both in random order. choices: the job's, without its rounds and seed.
    """

    inputs: Floats
    labels: Floats
    test: tuple[Floats, Floats]
    sites: int
    own: int
    choices: Mapping[str, Any]
    seed: int

    @cached_property
    def names(self) -> list[str]:
        return [f"site-{at:03}" for at in range(1, self.sites + 1)]

    def plan(self, **own: Any) -> Any:
        base = {"workload": "table", "features": self.inputs.shape[1], "scheme": "fedavg", "rounds": 1}
        return plan_of({**base, **self.choices, "seed": self.seed, **own}, "this experiment")

    def run(
        self, scheme: Scheme, rounds: int, start: Sequence[Weights] = (), at_once: bool = False, **own: Any
    ) -> Weights:
        """The model that the scheme delivers.

        start: each site's first model, for FedDC. at_once: see AtOnce. own: of the job.
        """
        plan = self.plan(rounds=rounds, **own)
        memory = scheme.start(self.initial(plan), self.names, self.seed)
        if start:
            memory = {**memory, "models": dict(zip(self.names, start, strict=True))}
        if at_once:
            fleet = AtOnce(self.learners(plan), self.names)
            return scheme.model(played(scheme, memory, self.names, rounds, fleet.learner, fleet.train)[0])
        return scheme.model(played(scheme, memory, self.names, rounds, self.learners(plan))[0])

    def pooled(self, steps: int, **own: Any) -> Weights:
        """One model after so many steps on all sites' rows."""
        plan = self.plan(**own)
        return self._learner(plan, self._data(plan, 0, self.sites * self.own)).fit(
            self.initial(plan).weights, steps=steps
        ).weights  # fmt: skip

    def alone(self, steps: int, **own: Any) -> list[Weights]:
        """Each site's model after so many steps on its own rows."""
        plan, learners = self.plan(**own), self.learners(self.plan(**own))
        first = self.initial(plan).weights
        return [learners(name, 0).fit(first, steps=steps).weights for name in self.names]

    def initial(self, plan: Any, seed: int | None = None) -> Model:
        return TABLE.initial(plan, self.seed if seed is None else seed, plan.rounds)

    def learners(self, plan: Any) -> Learners:
        """Each site's learner, made once; another round binds the same one anew."""
        data = [self._data(plan, at * self.own, (at + 1) * self.own) for at in range(self.sites)]
        made = {name: self._learner(plan, one, name) for name, one in zip(self.names, data, strict=True)}

        def learner(site: str, number: int) -> Learner:
            context = made[site].context
            credentials = replace(context.credentials, round=number)  # type: ignore[type-var]
            made[site].context = replace(context, round=number, credentials=credentials)
            return made[site]

        return learner

    def scores(self, weights: Weights) -> dict[str, float]:
        """Of a model on the test fold."""
        plan = self.plan()
        found: dict[str, float] = self._learner(plan, self._data(plan, 0, self.own)).evaluate(weights)["all"]
        return found

    @cached_property
    def _shared(self) -> dict[str, Any]:
        plan = self.plan()
        return TABLE.shared({"all": TABLE.describe(self._data(plan, 0, self.sites * self.own))}, plan)

    def _learner(self, plan: Any, data: Any, site: str = "site-001") -> TorchLearner:
        learner = TABLE.learner(plan, data, offline(plan, site, shared=self._shared), TABLE.prepare(plan, self.seed))
        assert isinstance(learner, TorchLearner)
        return learner

    def _data(self, plan: Any, first: int, last: int) -> Any:
        inputs, labels = np.vstack([self.inputs[first:last], self.test[0]]), self.labels[first:last]
        labels = np.vstack([labels, self.test[1]]).astype(np.float32)
        folds = np.repeat([0, 2], [last - first, len(self.test[0])])
        samples = Samples(inputs, labels, np.arange(len(inputs)))
        return dataset_of(samples, folds, TableFile(kind="demo_table", batch_size=self.own), plan)


class AtOnce:
    """What the learners of all sites do in a round, computed together: many times faster where sites are tiny.

    For SGD without momentum on all samples of a site, of which all have the same number, and schemes that train as
    FedAvg does. The network and the loss are those of the learners.
    """

    def __init__(self, learners: Learners, sites: Sequence[str]):
        first: Any = learners(sites[0], 0)
        folds = [learners(site, 0).samples("train") for site in sites]
        self.inputs, self.labels = (torch.stack([fold[at] for fold in folds]) for at in (0, 1))
        self.fit, self.fitted = first.task.fit, dict[str, Fitted]()

        def loss(weights: Weights, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            logits = torch.func.functional_call(first.network, dict(weights), inputs)
            found: torch.Tensor = first.task.loss(logits, labels, None)
            return found

        self.gradients = torch.func.vmap(torch.func.grad(loss))

    def train(self, tasks: Mapping[str, Task]) -> None:
        """Every site's training of its task's weights."""
        weights = {key: torch.stack([task.weights[key] for task in tasks.values()]) for key in self._keys(tasks)}
        for _ in range(self.fit.steps):
            steps = self.gradients(weights, self.inputs, self.labels)
            weights = {key: value - self.fit.rate * steps[key] for key, value in weights.items()}
        each = zip(*(value.unbind() for value in weights.values()), strict=True)
        models = [dict(zip(weights, one, strict=True)) for one in each]
        known = self.inputs.shape[1], self.fit.steps, self.fit.rate, None
        self.fitted = {site: Fitted(model, *known) for site, model in zip(tasks, models, strict=True)}

    def learner(self, site: str, number: int) -> Any:
        """One whose `fit` gives what was computed."""
        return SimpleNamespace(fit=lambda weights: self.fitted[site])

    def _keys(self, tasks: Mapping[str, Task]) -> list[str]:
        return list(next(iter(tasks.values())).weights)


def moved(weights: Weights, other: Weights) -> float:
    """The largest difference of two models in any number."""
    return max(float((weights[key] - value).abs().max()) for key, value in other.items())

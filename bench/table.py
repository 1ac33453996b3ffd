"""Tables: federated logistic regression and small networks against pooled data and against every site alone.

    python bench/table.py [--seeds 10]

Writes docs/results/table.md. A score is over the test samples of all sites together, each predicted by the model that
its site would use; mean and standard deviation over the seeds, which move partition, folds and initial weights.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from brainct.core.determinism import one_thread
from brainct.core.scheme import Task, followed
from brainct.job.config import plan_of
from brainct.schemes._codes import BLOCK
from brainct.security.credentials import offline
from brainct.table.metrics import scores
from brainct.table.workload import TABLE
from brainct.training.data import Fold

OUT = Path(__file__).parent.parent / "docs" / "results" / "table.md"
FIT = {"optimizer": "sgd", "rate": 0.1, "epochs": 5}
ROUNDS = 20
CANCER = {"outputs": ["malignant"], "features": 30}
WORST = ["radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave points"]
SEVENTEEN = [f"worst {name}" for name in WORST] + [f"mean {name}" for name in WORST] + ["worst symmetry"]
WINE = {"task": "classes", "features": 13, "outputs": [str(at) for at in range(3)]}
DIGITS = {
    "task": "classes",
    "features": 64,
    "outputs": [str(at) for at in range(10)],
    "model": {"kind": "mlp", "hidden": [32]},
}
SITE = "kind: demo_table\nsplit: {{seed: {seed}}}\n"
SMALL_SITE = (
    "kind: demo_table\ndemo_public: 1297\nbatch_size: 16\n"
    "split: {{train: 0.64, valid: 0.16, test: 0.2, seed: {seed}}}\n"
)
"""Digits at 20 hospitals with 25 samples each, 16 of them for training."""
BATCH, TURNS_RATE = 12, 0.01
RADON = {"scheme": "radon", "rounds": 1, "arguments": {"part": "head"}, "fit": {**FIT, "epochs": ROUNDS * 5}}


INTRODUCTION = f"""
Written by `python bench/table.py --seeds {{seeds}}`; mean ± standard deviation over {{seeds}} seeds of partition,
folds and initial weights. Federated rows: {ROUNDS} rounds of {FIT["epochs"]} passes; `radon` within its guarantee: one
round of {ROUNDS * 5}; `minibatch`: {ROUNDS * 5} rounds of one batch, five times the bytes; `turns`: as many rounds as
cost no more bytes than the others, each with one site's batch of {BATCH}, at rate {TURNS_RATE}, which was chosen on
head CT. Alone and pooled: {ROUNDS * 5} passes. SGD at rate {FIT["rate"]}. A score is over the test samples of all sites
together. Columns are standardised over all sites in every row. 60 samples are the public set, which only `fedct` uses;
its sites have logistic regression, a decision tree or a random forest in turn. `radon` is within its guarantee where
it has one level of r = D + 3 sites for D columns; at the digits of 20 sites it works on its sketch.
"""


def mixed(sites: list[str], numbers: int) -> dict[str, Any]:
    """FedCT with logistic regression, decision trees and random forests in turn."""
    kinds = {"trees": sites[1::3], "forests": sites[2::3]}
    return {"scheme": "fedct", "arguments": {"findings": ["malignant"], "warmup": 1, **kinds}}


class Setting(NamedTuple):
    """So many sites with such a site file, the choices of all rows, and row -> the scheme's own choices."""

    sites: int
    common: dict[str, Any]
    schemes: dict[str, Any]
    site: str = SITE


def settings() -> dict[str, Setting]:
    """By the name of its table."""
    plain = {name: {"scheme": name} for name in ("fedavg", "feddc", "scaffold", "feddyn")}
    single = {"rounds": ROUNDS * FIT["epochs"], "arguments": {"rate": FIT["rate"], "momentum": 0.9}}
    plain |= {"minibatch": {"scheme": "minibatch", **single, "fit": {**FIT, "epochs": 1}}, "turns": turns}
    roots = {name: {"scheme": name} for name in ("fedper", "dynamic", "radon")}
    return {
        "breast cancer, 4 sites, 30 columns, logistic regression": Setting(4, CANCER, {**plain, "fedct, mixed": mixed}),
        "breast cancer, 4 sites, 1 column": Setting(
            4, {**CANCER, "features": ["worst perimeter"]}, {**plain, "radon": RADON}
        ),
        "breast cancer, 20 sites, 17 columns": Setting(
            20, {**CANCER, "features": SEVENTEEN}, {**plain, "radon": RADON}
        ),
        "wine, 4 sites, 3 classes, logistic regression": Setting(4, WINE, plain),
        "digits, 4 sites, 10 classes, MLP of 32": Setting(4, DIGITS, plain),
        "digits, 20 sites with 16 training samples each, MLP of 32": Setting(
            20, DIGITS, {**plain, **roots}, SMALL_SITE
        ),
    }


def turns(sites: list[str], numbers: int) -> dict[str, Any]:
    """As many rounds as cost no more bytes than ROUNDS of float32 both ways at each site."""
    coded = numbers + 4 * -(-numbers // BLOCK)
    rounds = ROUNDS * len(sites) * 4 * numbers // coded
    return {"scheme": "turns", "rounds": rounds, "arguments": {"rate": TURNS_RATE}, "fit": {**FIT, "batch_size": BATCH}}


def opened(plan: Any, sites: list[str], text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every site's data for this seed, and what the roll call gives all of them."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "site.yaml"
        file.write_text(text)
        data = {site: TABLE.open(file, site, sites, plan) for site in sites}
    return data, TABLE.shared({site: TABLE.describe(one) for site, one in data.items()}, plan)


class Played:
    """One plan on the sites of one seed."""

    def __init__(self, plan: Any, sites: list[str], text: str):
        self.plan, self.sites = plan, sites
        self.data, self.shared = opened(plan, sites, text)

    def learner(self, site: str, number: int, data: Any = None) -> Any:
        context = offline(self.plan, site, number, shared=self.shared)
        return TABLE.learner(self.plan, data or self.data[site], context, TABLE.prepare(self.plan, self.plan.seed))

    def federated(self) -> dict[str, float]:
        """The scheme's rounds by hand; each site's test fold by the model that it would use."""
        scheme, keeps = self.plan.build(), {site: {} for site in self.sites}
        public = len(self.data[self.sites[0]].public().inputs)
        model = replace(TABLE.initial(self.plan, self.plan.seed, self.plan.rounds), public=public)
        memory = scheme.start(model, self.sites, self.plan.seed)
        for number in range(self.plan.rounds):

            def ask(site: str, task: Task, number: int = number) -> Any:
                report, keeps[site] = scheme.reply(task, self.learner(site, number), keeps[site])
                return report

            tasks = sorted(scheme.assign(memory, number, self.sites).items())
            reports = {site: ask(site, task) for site, task in tasks}
            memory = scheme.combine(memory, number, followed(scheme, memory, number, reports, ask))
        task, found = Task(scheme.model(memory), scheme.extra(memory)), {}
        for site in self.sites:
            learner = scheme.adapt_input(task, self.learner(site, self.plan.rounds), keeps[site])
            found[site] = learner.predict(scheme.personalise(task, learner, keeps[site]))
        return self.scored(found)

    def trained(self, data: Any, site: str) -> Any:
        """The weights after as many passes as a federated run has."""
        learner = self.learner(site, 0, data)
        return learner.fit(learner.initial().weights, epochs=ROUNDS * FIT["epochs"]).weights

    def alone(self) -> dict[str, float]:
        """Each site's own model on its own test fold."""
        return self.scored({s: self.learner(s, 0).predict(self.trained(self.data[s], s)) for s in self.sites})

    def pooled(self) -> dict[str, float]:
        """One model on the training folds of all sites together."""
        folds = [one.folds["train"] for one in self.data.values()]
        union = Fold(torch.cat([one.inputs for one in folds]), torch.cat([one.labels for one in folds]))
        first = self.data[self.sites[0]]
        weights = self.trained(replace(first, folds={**first.folds, "train": union}), self.sites[0])
        return self.scored({site: self.learner(site, 0).predict(weights) for site in self.sites})

    def scored(self, predictions: dict[str, torch.Tensor]) -> dict[str, float]:
        labels = torch.cat([self.data[site].folds["test"].labels for site in self.sites]).double().numpy()
        guess = torch.cat([predictions[site] for site in self.sites]).double().numpy()
        return scores(self.plan.task, labels, guess)["all"]


def rows(setting: Setting, seeds: int) -> dict[str, list[dict[str, float]]]:
    """Row -> the scores of each seed."""
    names, found = [f"site-{at:02}" for at in range(1, setting.sites + 1)], {}
    for seed in range(seeds):
        text = setting.site.format(seed=seed)
        base = {"workload": "table", "rounds": ROUNDS, "fit": FIT, "seed": seed, **setting.common}
        averaging = plan_of({**base, "scheme": "fedavg"}, "fedavg")
        numbers = sum(value.numel() for value in TABLE.initial(averaging, seed, ROUNDS).weights.values())
        for row, own in setting.schemes.items():
            chosen = own(names, numbers) if callable(own) else own
            played = Played(plan_of({**base, **chosen}, row), names, text)
            found.setdefault(row, []).append(played.federated())
        played = Played(averaging, names, text)
        found.setdefault("each site alone", []).append(played.alone())
        found.setdefault("pooled data", []).append(played.pooled())
    return found


def table(found: dict[str, list[dict[str, float]]]) -> list[str]:
    lines = ["| | AUROC | accuracy | log loss |", "|---|---|---|---|"]
    for row, each in found.items():
        cells = []
        for name in ("auroc", "accuracy", "log_loss"):
            values = [one[name] for one in each]
            cells.append(f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}")
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    seeds = parser.parse_args().seeds
    one_thread()
    began = time.monotonic()
    text = ["# Tables: federated, pooled and alone", "", INTRODUCTION.format(seeds=seeds).strip()]
    for name, setting in settings().items():
        text += ["", f"## {name}", "", *table(rows(setting, seeds))]
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()

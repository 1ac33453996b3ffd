"""A DenseNet with BatchNorm under each rule and two schemes, and at a new hospital without labels; resumable.

    python bench/batch_norm.py --seeds 5 --minutes 7

Five sites of 32 phantom slices, each with a scanner of its own, 30 rounds of two epochs; the new hospital has the sixth
scanner. The DenseNet is small, so that a run takes half a minute of CPU. `frozen` keeps the statistics that BatchNorm
begins with (mean 0, variance 1), as there is no trained network to take them from.
"""

import statistics
import tempfile
from functools import cache, partial
from pathlib import Path
from typing import Any

from resumed import Runs, command, spread

from brainct.compare.federation import HELD_OUT_SITE
from brainct.compare.simulated_sites import SimulatedFederation
from brainct.ct.metrics import scores
from brainct.job.config import Plan, plan_of
from brainct.run.model_file import read_model
from brainct.run.rehearse import rehearse
from brainct.security.credentials import offline
from brainct.training.batch_norm import has_statistics, measure_statistics
from brainct.training.data import Dataset

PAIRS = [
    ("group", "fedavg"),
    ("group", "feddc"),
    ("frozen", "fedavg"),
    ("frozen", "feddc"),
    ("silo", "silobn"),
    ("silo", "fedbn"),
]
OPTIONS = {"init_features": 8, "growth_rate": 8, "block_config": [2, 2, 2], "bn_size": 2}
FEDERATION = SimulatedFederation(sites=5, scans=32, skew="scanner", valid=0, outside=80)


def plan(rule: str, scheme: str, seed: int) -> Plan:
    network = {"architecture": "monai.networks.nets.DenseNet", "size": 64, "options": {**OPTIONS, "batch_norm": rule}}
    fit = {"optimizer": "adamw", "rate": 0.003, "decay": "cosine", "epochs": 2}
    run = {"scheme": scheme, "rounds": 30, "seed": seed, "evaluate_every": 0, "network": network, "fit": fit}
    return plan_of(run, "bench/batch_norm.py")


@cache
def scans(seed: int) -> dict[str, Dataset]:
    """Of every site and of the new hospital; the same under every rule."""
    return FEDERATION.open(seed, plan("group", "fedavg", seed))


def run(rule: str, scheme: str, seed: int) -> dict[str, Any]:
    job, opened = plan(rule, scheme, seed), scans(seed)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        record = rehearse(job, FEDERATION.names, out, opener=lambda f, site, s, p: opened[site], log=lambda line: None)
        weights = read_model(out / "model.safetensors").weights
    at_sites = statistics.fmean(one["any"]["auroc"] for one in record.content["test"].values())
    new = opened[HELD_OUT_SITE]
    learner = job.kind.learner(job, new, offline(job, HELD_OUT_SITE, 0), job.kind.prepare(job, 1))

    def auroc(found: Any) -> float:
        labels = new.folds["test"].labels.double().numpy()
        return float(scores(labels, learner.predict(found, "test").double().numpy())["any"]["auroc"])

    row = {"rule": rule, "scheme": scheme, "seed": seed, "sites": at_sites, "new": auroc(weights)}
    module = learner.module(weights)
    if has_statistics(module):
        measure_statistics(module, new.folds["train"].inputs)
        row["new_own"] = auroc({key: value.clone() for key, value in learner.network.state_dict().items()})
    return row


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["| rule | scheme | seeds | sites | new hospital, delivered model | with its own statistics |"]
    lines.append("|---|---|---|---|---|---|")
    for rule, scheme in PAIRS:
        mine = [row for row in rows if (row["rule"], row["scheme"]) == (rule, scheme)]
        if mine:
            cells = [spread([row[key] for row in mine if key in row]) for key in ("sites", "new", "new_own")]
            lines.append(f"| {rule} | `{scheme}` | {len(mine)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def runs(seed: int) -> Runs:
    """Each rule with its two schemes."""
    return [({"rule": rule, "scheme": one, "seed": seed}, partial(run, rule, one, seed)) for rule, one in PAIRS]


def main() -> None:
    command(__doc__, "batch_norm", runs, table)


if __name__ == "__main__":
    main()

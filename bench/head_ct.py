"""Seven hospitals with 16 head CT slices each: pooled, alone, FedAvg, FedDC, the chain; at one budget and at twice it.

    BRAINCT_HEAD_CT=folder/with/labels.csv python bench/head_ct.py --seeds 5 --passes 150 300

A pass is one epoch at every site. Each seed partitions the images anew and starts from other weights. Prints one line
a run as JSON, then the table.
"""

import argparse
import json
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainct.core.names import site_names
from brainct.ct.dataset import open_sites
from brainct.ct.learner import learner_of
from brainct.ct.model import network_of
from brainct.ct.site_config import read_site_file
from brainct.job.config import Plan, plan_of
from brainct.run.rehearse import rehearse
from brainct.security.credentials import offline
from brainct.training.data import Dataset, Fold

SITES = site_names(7)
SCHEMES: dict[str, dict[str, Any]] = {
    "FedAvg": {"scheme": "fedavg"},
    "FedDC d=1 b=10": {"scheme": "feddc", "arguments": {"daisy_period": 1, "aggregation_period": 10}},
    "chain only": {"scheme": "feddc", "arguments": {"daisy_period": 1, "aggregation_period": None}},
}
TEMPLATE = Path(__file__).parent.parent / "poc" / "sites" / "head_ct.yaml"


def plan(seed: int, passes: int, size: int, scanner: float, **choices: Any) -> Plan:
    fit = {"optimizer": "adamw", "rate": 0.003, "decay": "cosine", "batch_size": 8, "augment": {"scanner": scanner}}
    network = {"architecture": "densenet-small", "size": size}
    whole = {"scheme": "fedavg", "network": network, "rounds": passes, "seed": seed, "fit": fit, "evaluate_every": 0}
    return plan_of({**whole, **choices}, "the benchmark")


def site_file(folder: Path, seed: int) -> Path:
    path = folder / "site.yaml"
    path.write_text(TEMPLATE.read_text().replace("seed: 0", f"seed: {seed}"))
    return path


def alone(chosen: Plan, scans: Dataset, name: str) -> float | None:
    """AUROC on the held-out images of one model trained pass by pass on these scans."""
    network = network_of(chosen.network, chosen.seed)
    weights = {key: value.clone() for key, value in network.state_dict().items()}
    for number in range(chosen.rounds):
        weights = dict(learner_of(chosen, scans, offline(chosen, name, number), network).fit(weights).weights)
    return learner_of(chosen, scans, offline(chosen, name, 0), network).evaluate(weights)["any"]["auroc"]


def pooled(found: dict[str, Dataset]) -> Dataset:
    folds = [scans.folds["train"] for scans in found.values()]
    union = Fold(torch.cat([fold.inputs for fold in folds]), torch.cat([fold.labels for fold in folds]))
    return Dataset("pooled", {**found[SITES[0]].folds, "train": union}, "", (), 8)


def run(job: tuple[str, int, int, int, float]) -> dict[str, Any]:
    what, seed, passes, size, scanner = job
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        file = site_file(Path(folder), seed)
        began = time.monotonic()
        if what in SCHEMES:
            os.environ["BRAINCT_SITE"] = str(file)
            chosen = plan(seed, passes, size, scanner, **SCHEMES[what])
            record = rehearse(chosen, SITES, Path(folder) / "out", log=lambda line: None).content
            values = [record["test"][SITES[0]]["any"]["auroc"]]
        else:
            found, chosen = open_sites(read_site_file(file), SITES, size), plan(seed, passes, size, scanner)
            data = {"pooled": pooled(found)} if what == "pooled" else found
            values = [alone(chosen, scans, name) for name, scans in data.items()]
        seconds = time.monotonic() - began
    return {"what": what, "seed": seed, "passes": passes, "auroc": values, "seconds": round(seconds, 1)}


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["| method | passes | AUROC | sd over seeds | se | seconds |", "|---|---|---|---|---|---|"]
    for what, passes in dict.fromkeys((row["what"], row["passes"]) for row in rows):
        mine = [row for row in rows if (row["what"], row["passes"]) == (what, passes)]
        views = {"alone, mean site": np.mean, "alone, best site": np.max} if what == "alone" else {what: np.mean}
        for name, view in views.items():
            values = np.array([view(row["auroc"]) for row in mine])
            spread = values.std(ddof=1) if len(values) > 1 else 0.0
            seconds = np.mean([row["seconds"] for row in mine])
            middle = f"{values.mean():.3f} | {spread:.3f} | {spread / len(values) ** 0.5:.3f}"
            lines.append(f"| {name} | {passes} | {middle} | {seconds:.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--passes", type=int, nargs="+", default=[150, 300])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--scanner", type=float, default=0.0, help="strength of the scanner augmentation, 0 to 1")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="methods, by name")
    chosen = parser.parse_args()
    methods = chosen.only or ["pooled", "alone", *SCHEMES]
    work = [(m, s, p, chosen.size, chosen.scanner) for p in chosen.passes for m in methods for s in range(chosen.seeds)]
    with ProcessPoolExecutor(chosen.workers, get_context("spawn")) as pool:
        rows = []
        for row in pool.map(run, work):
            rows.append(row)
            print(json.dumps(row), flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()

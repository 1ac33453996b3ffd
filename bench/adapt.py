"""A delivered model calibrated at each site: calibration error and decisions before and after; resumable.

    python bench/adapt.py --seeds 5 --minutes 7    # again until nothing is left

Five sites of 24 phantom slices, each with a scanner of its own, train by FedAvg for 20 rounds. Then each site fits a
temperature and a threshold on its own 24 validation slices, as `brainct model adapt` does, and is measured on its 120
test slices. `any` alone: the calibration error (ECE) in 10 bins, the Brier score, and the balanced accuracy from 0.5 on
and from the site's own threshold on.
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from resumed import command, spread

from brainct.adapt.site_model import adapt
from brainct.compare.simulated_sites import SimulatedFederation
from brainct.core.weights import Weights
from brainct.ct.metrics import scores
from brainct.ct.phantom import SCANNERS
from brainct.job.config import Plan, plan_of
from brainct.run.model_file import read_model
from brainct.run.rehearse import rehearse
from brainct.security.credentials import offline
from brainct.training.data import Dataset

FEDERATION = SimulatedFederation(sites=5, scans=24, skew="scanner", valid=24, test=120, outside=0)
NETWORK = {"architecture": "cnn", "size": 64, "options": {"widths": [8, 16, 32, 64]}}
FIT = {"optimizer": "adamw", "rate": 0.003, "decay": "cosine", "epochs": 3}
COLUMNS = ("ece", "ece_own", "brier", "brier_own", "accuracy", "accuracy_own")


def run(seed: int) -> dict[str, Any]:
    choices = {"scheme": "fedavg", "rounds": 20, "seed": seed, "evaluate_every": 0, "network": NETWORK, "fit": FIT}
    plan, files = plan_of(choices, "bench/adapt.py"), FEDERATION.files(seed)
    opened = FEDERATION.open(seed, plan)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        rehearse(plan, FEDERATION.names, out, opener=lambda f, site, s, p: opened[site], log=lambda line: None)
        model = read_model(out / "model.safetensors")
    rows = []
    for site, file in files.items():
        own = adapt(model, file, site, calibrate=True, statistics=False, head=0)
        cut, phantom = own.calibration["any"], file.phantom
        assert phantom is not None
        row = measured(plan, opened[site], site, model.weights, own.weights, cut.threshold)
        rows.append({"scanner": phantom.scanner, "temperature": cut.temperature, "reason": cut.reason, **row})
    return {"seed": seed, "sites": rows}


def measured(plan: Plan, data: Dataset, site: str, then: Weights, now: Weights, cut: float) -> dict[str, float]:
    """Scores of `any` on the test fold, of the delivered model and of the site's own."""
    learner = plan.kind.learner(plan, data, offline(plan, site, 0), plan.kind.prepare(plan, 1))
    labels, found = data.folds["test"].labels.double().numpy(), {}
    for end, weights, threshold in (("", then, 0.5), ("_own", now, cut)):
        guess = learner.predict(weights, "test").double().numpy()
        one = scores(labels, guess)["any"]
        said, truth = guess[:, -1] >= threshold, labels[:, -1] > 0
        accuracy = float(np.mean([said[truth].mean(), 1 - said[~truth].mean()]))
        found |= {f"ece{end}": one["ece"], f"brier{end}": one["brier"], f"accuracy{end}": accuracy}
    return found


def table(rows: list[dict[str, Any]]) -> str:
    every = [site for row in rows for site in row["sites"]]
    lines = [
        "| scanner | fits | temperature | ECE | own ECE | Brier | own Brier | accuracy | own accuracy | ECE better |"
    ]
    lines.append("|" + "---|" * 10)
    for name in [*(scanner.name for scanner in SCANNERS), "all"]:
        mine = [row for row in every if name in (row["scanner"], "all")]
        cells = " | ".join(spread([row[key] for row in mine]) for key in ("temperature", *COLUMNS))
        better = sum(row["ece_own"] < row["ece"] for row in mine)
        lines.append(f"| {name} | {len(mine)} | {cells} | {better} of {len(mine)} |")
    return "\n".join(lines)


def main() -> None:
    command(__doc__, "adapt", lambda seed: [({"seed": seed}, partial(run, seed))], table)


if __name__ == "__main__":
    main()

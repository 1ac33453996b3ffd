"""What a privacy budget costs: AUROC on the phantom without a policy, clipped, and at several epsilon.

    python bench/privacy.py --sites 4 --scans 120 --rounds 12 --seeds 3 --epsilon 10 1000 100000

Each site's updates are clipped at --clip and noised so that all rounds together give away just epsilon at delta 1e-5.
Prints one line a run as JSON, then the table: mean and range of the sites' mean AUROC over the seeds.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq

from brainct.core.names import site_names
from brainct.core.privacy_event import Event
from brainct.job.config import plan_of
from brainct.job.folders import JOBS
from brainct.run.rehearse import rehearse
from brainct.security.accounting import epsilon
from brainct.security.policy_file import FILTER

DELTA = 1e-5
NETWORK = {"architecture": "cnn", "size": 32, "options": {"widths": [8, 16]}}


def noise_for(wanted: float, updates: int) -> float:
    """z, so that this many updates give away this epsilon together."""
    return float(brentq(lambda z: epsilon([Event("update", mu=2 / z)] * updates, DELTA) - wanted, 1e-2, 1e6))


def auroc(scheme: str, policy: dict[str, Any], seed: int, choices: argparse.Namespace) -> float:
    """The mean over the sites of the test AUROC of `any`."""
    changes = {"seed": seed, "rounds": choices.rounds, "network": NETWORK, "evaluate_every": 0}
    plan = plan_of({**JOBS[scheme], **changes}, "bench")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "site.yaml").write_text(
            f"kind: phantom\nphantom: {{scans: {choices.scans}, seed: {seed}, difficulty: {choices.difficulty}}}\n"
            "split: {train: 0.5, valid: 0, test: 0.5}\n"
        )
        os.environ["BRAINCT_SITE"] = str(folder / "site.yaml")
        scope = {"name": "hospital", "task_result_filters": [{"path": FILTER, "args": policy}]}
        (folder / "privacy.json").write_text(json.dumps({"scopes": [scope], "default_scope": "hospital"}))
        os.environ["BRAINCT_PRIVACY"] = str(folder / "privacy.json")
        record = rehearse(plan, site_names(choices.sites), folder / "out", log=lambda line: None).content
    return float(np.mean([found["any"]["auroc"] for found in record["test"].values()]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sites", type=int, default=4)
    parser.add_argument("--scans", type=int, default=120)
    parser.add_argument("--difficulty", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--clip", type=float, default=1.0)
    parser.add_argument("--epsilon", type=float, nargs="+", default=[10.0, 1000.0, 100000.0])
    parser.add_argument("--schemes", nargs="+", default=["fedavg"])
    choices = parser.parse_args()
    rows: list[tuple[str, dict[str, Any]]] = [("none", {}), ("clipped", {"clip": choices.clip})]
    for wanted in choices.epsilon:
        noise = noise_for(wanted, choices.rounds)
        rows.append((f"epsilon {wanted:g} (noise {noise:.3g})", {"clip": choices.clip, "noise": noise}))
    lines = []
    for scheme in choices.schemes:
        for name, policy in rows:
            found = [auroc(scheme, policy, seed, choices) for seed in range(1, choices.seeds + 1)]
            print(json.dumps({"scheme": scheme, "policy": name, "auroc": found}), flush=True)
            lines.append(f"| {scheme} | {name} | {np.mean(found):.3f} | {min(found):.3f} to {max(found):.3f} |")
    print("| scheme | policy | AUROC | least to most |\n|---|---|---|---|\n" + "\n".join(lines))


if __name__ == "__main__":
    main()

"""How a rehearsal grows with the number of sites: seconds, memory beyond the sites' own data, the record's size.

    python bench/scale.py [--sites 10 100 1000] [--rounds 10] [--workloads table ct] [--scheme fedavg]

Each rehearsal runs in a process of its own, with one worker. A site has 16 samples and takes two steps a round: 10
features and logistic regression (table), or 32x32 pixels and `cnn` of widths 8 and 16 (ct). Memory is the peak of the
resident set above that before the roll call; CPU a site and round includes checks, client state on disk and the record.
"""

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainct.core.names import site_names
from brainct.job.config import Plan, plan_of
from brainct.run.rehearse import rehearse
from brainct.run.summary import last_lines
from brainct.table.dataset import TableData, dataset_of
from brainct.table.samples import Samples
from brainct.table.site_config import TableFile
from brainct.training.data import Dataset, Fold

SAMPLES, FEATURES, EDGE = 16, 10, 32
PLANS: dict[str, dict[str, Any]] = {
    "table": {
        "workload": "table",
        "features": [f"x{at}" for at in range(FEATURES)],
        "outputs": ["y"],
        "fit": {"optimizer": "sgd", "rate": 0.1, "batch_size": 8},
    },
    "ct": {
        "network": {"architecture": "cnn", "size": EDGE, "options": {"widths": [8, 16]}},
        "fit": {"optimizer": "adamw", "augment": None, "batch_size": 8},
    },
}


def scans(file: Path | None, site: str, sites: Sequence[str], plan: Plan) -> Dataset:
    """A site's random pictures; a tenth of the labels are bleedings."""
    random = np.random.default_rng(int(site.removeprefix("site-")))
    images = torch.from_numpy(random.random((SAMPLES, 3, EDGE, EDGE), np.float32))
    fold = Fold(images, torch.from_numpy((random.random((SAMPLES, 6)) < 0.1).astype(np.float32)))
    return Dataset("random", {"train": fold, "test": fold}, f"{int(site.removeprefix('site-')):064x}")


def rows(file: Path | None, site: str, sites: Sequence[str], plan: Plan) -> TableData:
    """A site's random rows; the label is the sign of the first feature."""
    random = np.random.default_rng(int(site.removeprefix("site-")))
    values = random.normal(size=(2 * SAMPLES, FEATURES))
    samples = Samples(values, (values[:, :1] > 0).astype(np.float32), np.arange(2 * SAMPLES))
    fold_of = np.repeat([0, 2], SAMPLES).astype(np.int64)
    return dataset_of(samples, fold_of, TableFile(kind="demo_table", batch_size=8), plan)  # type: ignore[arg-type]


def one(workload: str, sites: int, rounds: int, scheme: str) -> None:
    """Rehearse, and print what it took as JSON."""
    plan = plan_of({"scheme": scheme, "rounds": rounds, **PLANS[workload]}, "bench/scale.py")
    plan.build()
    opener = scans if workload == "ct" else rows
    before, began, cpu = resident(), time.monotonic(), time.process_time()
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        record = rehearse(plan, site_names(sites), out, opener=opener, log=lines.append).record
        size = (out / "record.json").stat().st_size
        said = last_lines(record, out).splitlines()
    found = {
        "wall": time.monotonic() - began,
        "round": float(np.median([row.seconds for row in record.rounds])),
        "cpu": (time.process_time() - cpu) / sites / rounds * 1000,
        "memory": resident() - before,
        "record": size / 2**20,
        "lines": len(lines) + len(said),
    }
    print(json.dumps(found))


def resident() -> float:
    """Largest resident set so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--workloads", nargs="+", default=["table", "ct"])
    parser.add_argument("--scheme", default="fedavg")
    parser.add_argument("--one", nargs=2, metavar=("WORKLOAD", "SITES"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        one(chosen.one[0], int(chosen.one[1]), chosen.rounds, chosen.scheme)
        return
    print("| workload | scheme | sites | wall | a round | CPU a site and round | memory | record.json | lines |")
    print("|---|---|---|---|---|---|---|---|---|")
    for workload in chosen.workloads:
        for sites in chosen.sites:
            words = [sys.executable, __file__, "--rounds", str(chosen.rounds), "--scheme", chosen.scheme]
            done = subprocess.run([*words, "--one", workload, str(sites)], capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stderr)
            show(workload, chosen.scheme, sites, json.loads(done.stdout.splitlines()[-1]))


def show(workload: str, scheme: str, sites: int, found: dict[str, float]) -> None:
    cells = [f"{found['wall']:.1f} s", f"{found['round']:.2f} s", f"{found['cpu']:.1f} ms"]
    cells += [
        f"{found['memory']:.0f} MiB",
        f"{found['record']:.2f} MiB",
        f"{found['lines']:.0f}",
    ]
    print(f"| {workload} | `{scheme}` | {sites} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()

"""What brainct costs on top of training: rehearsals and FLARE's simulator against a bare PyTorch loop on the same work.

    python bench/rounds.py [--sites 8 32] [--repeats 3] [--no-simulator] [--fit plain|default]

A plain network of 98k parameters, 64 pictures of 64x64 a site, 4 batches, 10 rounds of FedAvg. `--fit plain`: SGD and
no augmentation; `default`: the augmentation and the AdamW of a default job, in both. CPU is of the processes and their
children, which a busy machine disturbs less than the wall clock. All ways run in
turn within each repeat, each in a process of its own; ratios are to the bare loop of the same repeat, medians over the
repeats. A round is the median of a run's ten. Memory is the largest sum of proportional set sizes of the process and
its children, sampled every half second (looking costs time too).
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from brainct.ct.networks import build
from brainct.job import folders
from brainct.training.networks import parameters_of

HERE = Path(__file__).parent
ROUNDS, PICTURES, EDGE = 10, 64, 64
PERIOD = 0.5
SITE = """kind: png_csv
root: {root}
labels: labels.csv
id_column: id
images: scans/{{id:04d}}.png
columns: {{any: any}}
split: {{train: 1, valid: 0, test: 0}}
partition: {{how: iid, scans: 64, test: shared, test_scans: {test}}}
batch_size: 16
device: cpu
"""


def make_data(folder: Path, sites: int) -> None:
    rng = np.random.default_rng(0)
    (folder / "scans").mkdir(parents=True)
    count = PICTURES * sites + 8
    for number in range(count):
        Image.fromarray(rng.integers(0, 255, (EDGE, EDGE), np.uint8)).save(folder / "scans" / f"{number:04}.png")
    rows = "".join(f"{number},{number % 2}\n" for number in range(count))
    (folder / "labels.csv").write_text("id,any\n" + rows)
    (folder / "site.yaml").write_text(SITE.format(root=folder, test=8))


def make_job(folder: Path, chosen: str) -> Path:
    folders.render(folder / "jobs")
    file = folder / "jobs" / "fedavg" / "app" / "config" / "config_fed_server.json"
    content = json.loads(file.read_text())
    fit = {"optimizer": "sgd", "rate": 0.05, "augment": None} if chosen == "plain" else {}
    network = {"architecture": "cnn", "size": EDGE}
    content["workflows"][0]["args"] |= {"rounds": ROUNDS, "fit": fit, "network": network, "evaluate_every": 0}
    file.write_text(json.dumps(content))
    return folder / "jobs" / "fedavg"


def measured(command: list[str], folder: Path) -> tuple[str, float, float, float]:
    """What a command printed, its wall seconds, its CPU seconds and its peak memory in MiB."""
    environment = {**os.environ, "BRAINCT_SITE": str(folder / "site.yaml")}
    began, peak, spent = time.monotonic(), 0.0, children_cpu()
    with tempfile.TemporaryFile("w+") as said:  # a pipe that nobody reads would fill, and stop the command
        process = psutil.Popen(command, stdout=said, stderr=subprocess.STDOUT, text=True, env=environment)
        while process.poll() is None:
            peak = max(peak, memory(process))
            time.sleep(PERIOD)
        wall = time.monotonic() - began
        said.seek(0)
        text = said.read()
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{text}")
    return text, wall, children_cpu() - spent, peak


def children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def memory(process: psutil.Process) -> float:
    total = 0
    try:
        for each in [process, *process.children(recursive=True)]:
            rollup = Path(f"/proc/{each.pid}/smaps_rollup").read_text()
            total += int(re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)[1])
    except (psutil.Error, OSError, TypeError):  # a process ended while it was looked at
        return 0.0
    return total / 1024


def bare(folder: Path, sites: int, fit: str) -> dict[str, float]:
    words = [str(folder), str(sites), str(ROUNDS), *(["default"] if fit == "default" else [])]
    text, wall, cpu, peak = measured([sys.executable, str(HERE / "bare.py"), *words], folder)
    found = json.loads(text.splitlines()[-1])
    wanted = parameters_of(build("cnn", 3, EDGE))
    if found["parameters"] != wanted:
        sys.exit(f"the bare loop's network has {found['parameters']} parameters, brainct's {wanted}")
    return {"wall": wall, "cpu": cpu, "memory": peak, **by_round(found["rounds"], wall)}


def rehearsed(folder: Path, sites: int, fit: str, workers: int) -> dict[str, float]:
    out = Path(tempfile.mkdtemp(dir=folder)) / "out"
    job, options = str(make_job(folder, fit)), ["--sites", str(sites), "--workers", str(workers), "--out", str(out)]
    _, wall, cpu, peak = measured([sys.executable, "-m", "brainct.cli", "rehearse", job, *options], folder)
    return {"wall": wall, "cpu": cpu, "memory": peak, **by_round(recorded(out), wall)}


def simulated(folder: Path, sites: int, fit: str, ours: bool = False) -> dict[str, float]:
    """By FLARE's own command, or by `brainct simulate`."""
    workspace = Path(tempfile.mkdtemp(dir=folder))
    policy = HERE.parent / "poc" / "simulator" / "local" / "resources.json"
    (workspace / "local").mkdir()
    (workspace / "local" / "resources.json").write_text(policy.read_text())
    flare = str(Path(sys.executable).parent / "nvflare")
    words = ["simulator", str(make_job(folder, fit)), "-w", str(workspace), "-n", str(sites), "-t", str(sites)]
    command = [flare, *words]
    if ours:
        command = [sys.executable, "-m", "brainct.cli", "simulate", words[1], "--workspace", str(workspace)]
        command += ["--sites", str(sites)]
    text, wall, cpu, peak = measured(command, folder)
    if not re.search(r"^model sha256: [0-9a-f]{64}$", text, re.MULTILINE):
        sys.exit(f"the simulator did not end with a model:\n{text}")
    return {
        "wall": wall,
        "cpu": cpu,
        "memory": peak,
        **by_round(recorded(workspace / "server" / "simulate_job" / "brainct"), wall),
    }


def recorded(out: Path) -> list[float]:
    return [row["seconds"] for row in json.loads((out / "record.json").read_text())["rounds"]]


def by_round(seconds: list[float], wall: float) -> dict[str, float]:
    return {"round": statistics.median(seconds), "startup": wall - sum(seconds)}


def show(sites: int, way: str, rows: list[dict[str, float]], base: list[dict[str, float]]) -> str:
    cells = []
    for name, unit in (("wall", "s"), ("cpu", "s"), ("round", "s"), ("startup", "s"), ("memory", "MiB")):
        if name not in rows[0]:
            cells.append("not measured")
            continue
        value = statistics.median(row[name] for row in rows)
        ratio = statistics.median(row[name] / other[name] for row, other in zip(rows, base, strict=True))
        cells.append(f"{value:.2f} {unit} ({ratio:.2f})" if unit == "s" else f"{value:.0f} {unit} ({ratio:.2f})")
    return f"| {sites} | {way} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-simulator", action="store_true")
    parser.add_argument("--fit", choices=["plain", "default"], default="plain")
    chosen = parser.parse_args()
    print("| sites | way | wall (ratio to bare) | CPU | a round | start-up and end | peak memory |")
    print("|---|---|---|---|---|---|---|")
    for sites in chosen.sites:
        ways: dict[str, Any] = {
            "bare loop": lambda folder, n=sites: bare(folder, n, chosen.fit),
            "rehearse, 1 worker": lambda folder, n=sites: rehearsed(folder, n, chosen.fit, 1),
            "rehearse, 2 workers": lambda folder, n=sites: rehearsed(folder, n, chosen.fit, 2),
        }
        if sites == 8 and not chosen.no_simulator:
            ways["simulator"] = lambda folder, n=sites: simulated(folder, n, chosen.fit)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_data(folder, sites)
            rows: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
            for _ in range(chosen.repeats):
                for way, measure in ways.items():
                    rows[way].append(measure(folder))
        for way, found in rows.items():
            print(show(sites, way, found, rows["bare loop"]), flush=True)
        if "simulator" in rows:
            above = [
                sim["round"] - one["round"]
                for sim, one in zip(rows["simulator"], rows["rehearse, 1 worker"], strict=True)
            ]
            print(f"simulator, {sites} sites: {statistics.median(above):.2f} s a round above the rehearsal's round")


if __name__ == "__main__":
    main()

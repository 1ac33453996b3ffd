"""Large models in FLARE's simulator: peak memory of server and sites in multiples of the model, bytes, seconds, disk.

    python bench/large.py [--sites 4] [--rounds 2] [--networks tiny densenet121 vit-3d] [--wires float32 bf16]

Each job runs in processes of its own. Memory is the largest proportional set size (PSS) that was seen every half second
of the simulator's process, which is the server, and of each site's processes; `tiny` is what they cost without a large
model, and the multiples are of what comes on top of it. Disk is the largest size of the checkpoint's folder and of the
one that stays.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from brainct.core.names import site_names
from brainct.flare.simulator import CHECKPOINT, RESULTS, make_workspace
from brainct.job import folders

VIT = {"patch_size": 16, "hidden_size": 768, "mlp_dim": 3072, "num_layers": 8, "num_heads": 12, "classification": True}
NETWORKS: dict[str, dict[str, Any]] = {
    "tiny": {"architecture": "cnn", "size": 32, "options": {"widths": [8, 8]}},
    "densenet121": {"architecture": "densenet121", "size": 32},
    "vit-3d": {"architecture": "monai.networks.nets.ViT", "size": 32, "dims": 3, "options": VIT},
}
SITE = "kind: phantom\nphantom: {scans: 6}\nsplit: {train: 0.5, valid: 0.0, test: 0.5}\nbatch_size: 2\ndevice: cpu\n"
FIT = {"optimizer": "sgd", "rate": 0.01, "augment": None}
PERIOD = 0.5


def run(network: str, wire: str, sites: int, rounds: int, scratch: Path) -> dict[str, float]:
    """One job; MiB, seconds and bytes."""
    plain = {"scheme": "fedavg"}
    scheme = plain if wire == "float32" else {"scheme": "bf16", "arguments": {"inner": plain}}
    common = {"rounds": rounds, "evaluate_every": 0, "network": NETWORKS[network], "fit": FIT}
    folders.write(scratch / "job", "large", {**scheme, **common})
    (scratch / "site.yaml").write_text(SITE)
    make_workspace(scratch / "work")
    names = ",".join(site_names(sites))
    words = [str(scratch / "job"), "-w", str(scratch / "work"), "-c", names, "-t", str(sites)]
    began = time.monotonic()
    with (scratch / "log").open("wb") as log:
        started = psutil.Popen(
            [sys.executable, "-m", "brainct.flare.simulator_process", *words], stdout=log, stderr=log,
            env={**_environment(), "BRAINCT_SITE": str(scratch / "site.yaml"), "HOME": str(scratch)},
        )  # fmt: skip
        peaks = _watch(started, scratch / "work" / CHECKPOINT)
    record = json.loads((scratch / "work" / RESULTS / "record.json").read_text())
    return {
        **peaks,
        "wall": time.monotonic() - began,
        "round": min(row["seconds"] for row in record["rounds"]),
        "model": record["model_bytes"] / 2**20,
        "sent": record["rounds"][-1]["bytes_sent"]["site-1"] / 2**20,
        "received": record["rounds"][-1]["bytes_received"]["site-1"] / 2**20,
    }


def _environment() -> Mapping[str, str]:
    import os

    return {**os.environ, "OMP_NUM_THREADS": "1"}


def _watch(started: psutil.Popen, checkpoint: Path) -> dict[str, float]:
    """The largest memory of the server and of one site, and of the checkpoint's folder on disk."""
    server = site = disk = 0.0
    while started.poll() is None:
        with contextlib.suppress(psutil.Error):
            server = max(server, _memory(started))
            for child in started.children():
                site = max(site, sum(map(_memory, [child, *child.children(recursive=True)])))
        disk = max(disk, _size(checkpoint))
        time.sleep(PERIOD)
    return {"server": server, "site": site, "disk": disk, "stays": _size(checkpoint)}


def _memory(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.Error):
        return float(process.memory_full_info().pss) / 2**20
    return 0.0


def _size(folder: Path) -> float:
    total = 0
    for path in folder.rglob("*") if folder.is_dir() else ():
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total / 2**20


def main() -> None:
    """Print the table, a row as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sites", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--wires", nargs="+", default=["float32", "bf16"], choices=["float32", "bf16"])
    chosen = parser.parse_args()
    print("| network | wire | model | server | a site | to a site | from a site | a round | wall | checkpoint, peak |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    idle: dict[str, float] = {}
    for network in chosen.networks:
        for wire in chosen.wires if network != "tiny" else ["float32"]:
            with tempfile.TemporaryDirectory() as folder:
                found = run(network, wire, chosen.sites, chosen.rounds, Path(folder))
            idle = idle or found
            show(network, wire, found, idle)


def show(network: str, wire: str, found: Mapping[str, float], idle: Mapping[str, float]) -> None:
    """A row; memory in MiB and, in brackets, what is above the first row in multiples of the model."""
    memory = [f"{found[who]:.0f} MiB ({(found[who] - idle[who]) / found['model']:.1f} x)" for who in ("server", "site")]
    sizes = [f"{found[key]:.1f} MiB" for key in ("sent", "received")]
    disk = f"{found['stays']:.1f} MiB, {found['disk']:.1f} MiB"
    cells = [network, wire, f"{found['model']:.1f} MiB", *memory, *sizes, f"{found['round']:.1f} s"]
    cells += [f"{found['wall']:.0f} s", disk]
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

"""The same federated averaging by others: FLARE's own FedAvg in its simulator, Flower in its simulation, and brainct.

    python bench/peers.py [--sites 8] [--repeats 3] [--flower PYTHON]

The work is that of bench/rounds.py: a plain network of 98k parameters, 64 pictures of 64x64 a site, 4 batches, SGD, 10
rounds; the others train with bench/bare.py's loop, one thread a site. brainct also checks the scans, evaluates at each
site, and writes record, model and a checkpoint a round; the others do none of that. All run in turn within each repeat,
each in processes of its own; ratios are to brainct's rehearsal with two workers in the same repeat, medians over
repeats. PYTHON: of an environment with `flwr[simulation]`, torch, pillow and scikit-learn; without it Flower is left
out. Flower may use as many cores as the rehearsal, two.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from rounds import ROUNDS, by_round, make_data, measured, rehearsed, show, simulated

PEERS = Path(__file__).parent / "peers"
CORES = 2


def flare(folder: Path, sites: int) -> dict[str, float]:
    """FLARE's recipe; the time to write its job, which a person does once, is left out."""
    work = Path(tempfile.mkdtemp(dir=folder))
    words = [str(PEERS / "flare_job.py"), str(folder), str(sites), str(ROUNDS), str(work / "job")]
    measured([sys.executable, *words], folder)
    command = [str(Path(sys.executable).parent / "nvflare"), "simulator", str(work / "job" / "fedavg")]
    text, wall, cpu, peak = measured([*command, "-w", str(work / "ws"), "-n", str(sites), "-t", str(sites)], folder)
    log = (work / "ws" / "server" / "log.txt").read_text()
    begun = [datetime.fromisoformat(at) for at in re.findall(r"^(\S+ [\d:]+,\d+) .*Sampled clients", log, re.MULTILINE)]
    if len(begun) != ROUNDS or "Finished FedAvg" not in log:
        sys.exit(f"FLARE's FedAvg did not end as it should, after {len(begun)} rounds:\n{text}")
    seconds = [(after - before).total_seconds() for before, after in zip(begun, begun[1:], strict=False)]
    seconds.append(statistics.median(seconds))  # the last one's end is not in the log
    return {"wall": wall, "cpu": cpu, "memory": peak, **by_round(seconds, wall)}


def flower(python: str, folder: Path, sites: int) -> dict[str, float]:
    """Flower's FedAvg over Ray, whose CPU is not known: the processes of Ray are no children of ours when they end."""
    os.environ |= {"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    words = [str(PEERS / "flower.py"), str(folder), str(sites), str(ROUNDS), str(CORES)]
    text, wall, _, peak = measured([python, *words], folder)
    seconds = json.loads(text.strip().splitlines()[-1])
    if len(seconds) != ROUNDS:
        sys.exit(f"Flower ended after {len(seconds)} rounds:\n{text}")
    return {"wall": wall, "memory": peak, **by_round(seconds, wall)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--flower", default="")
    chosen = parser.parse_args()
    ways: dict[str, Callable[[Path], dict[str, float]]] = {
        "brainct, rehearsed by two workers": lambda folder: rehearsed(folder, chosen.sites, "plain", CORES),
        "brainct in FLARE's simulator, by `nvflare simulator`": lambda folder: simulated(folder, chosen.sites, "plain"),
        "brainct in FLARE's simulator, by `brainct simulate`": lambda folder: simulated(
            folder, chosen.sites, "plain", ours=True
        ),
        "FLARE's own FedAvg in its simulator": lambda folder: flare(folder, chosen.sites),
    }
    if chosen.flower:
        python = shutil.which(chosen.flower) or sys.exit(f"no interpreter at {chosen.flower}")
        ways["Flower, simulation"] = lambda folder: flower(python, folder, chosen.sites)
    rows: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as name:
        make_data(Path(name), chosen.sites)
        for _ in range(chosen.repeats):
            for way, measure in ways.items():
                rows[way].append(measure(Path(name)))
                print(way, {key: round(value, 2) for key, value in rows[way][-1].items()}, file=sys.stderr, flush=True)
    print("| sites | way | whole run | CPU | a round | start-up and end | peak memory |\n|---|---|---|---|---|---|---|")
    for way, found in rows.items():
        print(show(chosen.sites, way, found, next(iter(rows.values()))))


if __name__ == "__main__":
    main()

"""Dice on the phantom: each site alone, fedavg, feddc, turns and pooled, over seeds; writes docs/results/segment.md.

    python bench/segment.py --seeds 1 2 3 4 5 --keep /tmp/segment

All but turns take equally many optimiser steps: a pooled batch is three sites' batches. turns has as many rounds as
cost no more bytes than fedavg's, each with all slices of one site. Finished seeds are kept as JSON and not run again.
"""

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path

import torch

from brainct.compare.pooled_site import pool_sites
from brainct.core.determinism import one_thread
from brainct.job.config import plan_of
from brainct.security.credentials import offline
from brainct.segment.metrics import scores
from brainct.segment.workload import SEGMENT
from brainct.training.data import Dataset

SITES = ("site-1", "site-2", "site-3")
FINDINGS = ["any", "intraparenchymal", "subdural"]
NETWORK = {"size": 48, "options": {"widths": [8, 16, 32]}}
ROUNDS, EPOCHS, SCANS = 32, 6, 64
PHANTOM = (
    "kind: phantom\nphantom: {{scans: {scans}, seed: {seed}, prevalence: 0.6, difficulty: 0.7}}\n"
    "split: {{train: 0.5, valid: 0, test: 0.5}}\n"
)
TURNS = int(ROUNDS * len(SITES) * 4 * 64 / 65)
"""Rounds of turns at the bytes of ROUNDS: one site in each, a byte a number, a 64th of that for scales."""
ARGUMENTS = {
    "feddc": {"daisy_period": 1, "aggregation_period": 5},
    "turns": {"rate": 0.003},
    "turns-fast": {"rate": 0.01},
}
"""By row. The name of a row begins with its scheme's."""
FIT = {"optimizer": "adamw", "rate": 0.01, "decay": "cosine", "epochs": EPOCHS, "augment": None}


def plan(row: str, seed: int):
    scheme = row.partition("-")[0]
    whole = {"rounds": TURNS, "fit": {**FIT, "batch_size": SCANS // 2}} if scheme == "turns" else {}
    return plan_of(
        {
            "scheme": scheme,
            "arguments": ARGUMENTS.get(row, {}),
            "workload": "segment",
            "findings": FINDINGS,
            "network": NETWORK,
            "fit": FIT,
            "rounds": ROUNDS,
            "seed": seed,
            "evaluate_every": 0,
            **whole,
        },
        "bench/segment.py",
    )


def trained(job, data: dict[str, Dataset]) -> dict[str, torch.Tensor]:
    """The final model of these sites, by the scheme's own functions."""
    scheme, keeps = job.build(), {site: {} for site in data}
    prepared = SEGMENT.prepare(job, job.seed)
    memory = scheme.start(SEGMENT.initial(job, job.seed, job.rounds), sorted(data), job.seed)
    for number in range(job.rounds):
        reports = {}
        for site, task in sorted(scheme.assign(memory, number, sorted(data)).items()):
            learner = SEGMENT.learner(job, data[site], offline(job, site, number), prepared)
            reports[site], keeps[site] = scheme.reply(task, learner, keeps[site])
        memory = scheme.combine(memory, number, reports)
    return dict(scheme.model(memory))


def together(data: dict[str, Dataset]) -> Dataset:
    """All sites' slices at one site, in batches of as many slices as all sites' batches together."""
    pooled = pool_sites(data, SITES)
    return replace(pooled, batch_size=len(SITES) * pooled.batch_size)


def tested(job, weights, data: dict[str, Dataset]) -> dict[str, dict]:
    """Scores of a model on the test slices of all sites together."""
    whole = together(data)
    learner = SEGMENT.learner(job, whole, offline(job, "all", 0), None)
    return scores(
        whole.folds["test"].labels.numpy(),
        learner.predict(weights, "test").numpy(),
        FINDINGS,
        whole.folds["test"].mm.numpy(),
    )


def one_seed(seed: int, folder: Path) -> dict[str, list[dict]]:
    """Scores of each way of training, of each model that it gives; kept in folder."""
    kept = folder / f"seed-{seed}.json"
    found = json.loads(kept.read_text()) if kept.is_file() else {}
    if WAYS.keys() <= found.keys():
        return found
    file = folder / f"site-{seed}.yaml"
    file.write_text(PHANTOM.format(scans=SCANS, seed=seed))
    job = plan("fedavg", seed)
    data = {site: SEGMENT.open(file, site, SITES, job) for site in SITES}
    if "alone" not in found:
        found["alone"] = [tested(job, trained(job, {site: data[site]}), data) for site in SITES]
    if "pooled" not in found:
        found["pooled"] = [tested(job, trained(job, {"pooled": together(data)}), data)]
    for row in WAYS.keys() - found.keys():
        found[row] = [tested(job, trained(plan(row, seed), data), data)]
    kept.write_text(json.dumps(found))
    return found


COLUMNS = {"dice": "Dice", "surface_dice": "surface Dice", "hausdorff95": "Hausdorff 95 %, mm",
           "surface_distance": "mean surface distance, mm", "false_alarms": "false alarms"}  # fmt: skip
WAYS = {
    **{"alone": "each site alone", "fedavg": "fedavg", "feddc": "feddc", "turns": "turns"},
    **{"turns-fast": "turns, rate 0.01", "pooled": "pooled data"},
}


def table(rows: list[dict[str, list[dict]]], name: str) -> list[str]:
    lines = [f"| | {' | '.join(COLUMNS.values())} |", "|---" * (len(COLUMNS) + 1) + "|"]
    return lines + [f"| {WAYS[how]} | {' | '.join(_mean(rows, how, name, key) for key in COLUMNS)} |" for how in WAYS]


def page(rows: list[dict[str, list[dict]]], seeds: list[int]) -> str:
    steps = ROUNDS * EPOCHS * -(-SCANS // 2 // 8)
    lines = [
        "# Segmentation: federated, pooled and alone",
        "",
        f"Written by `python bench/segment.py --seeds {' '.join(map(str, seeds))}`; mean ± standard deviation over",
        f"{len(rows)} seeds of phantom and initial weights. {len(SITES)} sites, each of another simulated scanner,",
        f"with {SCANS // 2} training and {SCANS - SCANS // 2} test slices of {NETWORK['size']} pixels; prevalence 0.6, "
        "difficulty 0.7. Scores over the test slices of all sites.",
        f"MONAI's UNet of widths {NETWORK['options']['widths']}, {FIT['optimizer']} at rate {FIT['rate']}, cosine "
        f"decay; {steps} optimiser steps in every row but that of turns",
        f"({ROUNDS} rounds of {EPOCHS} passes; a pooled batch is {len(SITES)} sites' batches). feddc: daisy period 1, "
        "aggregation period 5.",
        f"turns: {TURNS} steps, which cost no more bytes, each with the gradient of one site's {SCANS // 2} slices, at",
        f"its usual rate of {ARGUMENTS['turns']['rate']} and at that of the others.",
        "A site alone is tested on all sites' slices too; its row is the mean over the sites.",
    ]
    for name in FINDINGS:
        lines += ["", f"## {name}", "", *table(rows, name)]
    return "\n".join([*lines, "", "Dice, seed by seed (any):", "", *_each(rows, seeds), ""])


def _each(rows: list[dict[str, list[dict]]], seeds: list[int]) -> list[str]:
    lines = [f"| | {' | '.join(f'seed {seed}' for seed in seeds)} |", "|---" * (len(seeds) + 1) + "|"]
    for how in WAYS:
        cells = [f"{statistics.fmean(one['any']['dice'] for one in row[how]):.3f}" for row in rows]
        lines.append(f"| {WAYS[how]} | {' | '.join(cells)} |")
    return lines


def _mean(rows: list[dict[str, list[dict]]], how: str, name: str, key: str) -> str:
    each = [[one[name][key] for one in row[how] if one[name][key] is not None] for row in rows]
    means = [statistics.fmean(one) for one in each if one]
    if not means:
        return "-"
    return f"{statistics.fmean(means):.3f} ± {statistics.stdev(means) if len(means) > 1 else 0:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--keep", type=Path, required=True, help="folder for finished seeds")
    parser.add_argument("--out", type=Path, default=Path("docs/results/segment.md"))
    given = parser.parse_args()
    one_thread()
    given.keep.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in given.seeds:
        began = time.process_time()
        rows.append(one_seed(seed, given.keep))
        dice = {how: round(statistics.fmean(one["any"]["dice"] for one in rows[-1][how]), 3) for how in rows[-1]}
        print(seed, dice, f"{time.process_time() - began:.0f} s of CPU", flush=True)
    given.out.write_text(page(rows, given.seeds))


if __name__ == "__main__":
    main()

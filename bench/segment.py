"""Dice on the phantom: each site alone, fedavg, feddc and pooled, over seeds; writes docs/results/segment.md.

    python bench/segment.py --seeds 5 --out /tmp/segment

All four train for equally many passes: `alone` over each site's own slices, `pooled` over all sites' together.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from brainct.core.determinism import one_thread
from brainct.job.config import plan_of
from brainct.security.credentials import offline
from brainct.segment.metrics import scores
from brainct.segment.workload import SEGMENT
from brainct.training.data import Dataset, Fold

SITES = ("site-1", "site-2", "site-3")
FINDINGS = ["any", "intraparenchymal", "subdural"]
NETWORK = {"size": 48, "options": {"widths": [8, 16, 32]}}
ROUNDS, EPOCHS = 10, 2
PHANTOM = "kind: phantom\nphantom: {{scans: {scans}, seed: {seed}}}\nsplit: {{train: 0.5, valid: 0, test: 0.5}}\n"
FIT = {"optimizer": "adamw", "rate": 0.005, "decay": "cosine", "epochs": EPOCHS, "augment": None}


def plan(scheme: str, seed: int):
    arguments = {"daisy_period": 1, "aggregation_period": 5} if scheme == "feddc" else {}
    return plan_of(
        {
            "scheme": scheme,
            "arguments": arguments,
            "workload": "segment",
            "findings": FINDINGS,
            "network": NETWORK,
            "fit": FIT,
            "rounds": ROUNDS,
            "seed": seed,
            "evaluate_every": 0,
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
    """All sites' slices at one site."""
    one = data[SITES[0]]
    folds = {
        name: Fold(*(torch.cat([getattr(data[s].folds[name], part) for s in SITES]) for part in ("inputs", "labels")))
        for name in ("train", "test")
    }
    return Dataset(one.kind, folds, "0" * 64, (), one.batch_size, outputs=one.outputs)


def tested(job, weights, data: dict[str, Dataset]) -> dict[str, dict]:
    """Scores of a model on the test slices of all sites together."""
    whole = together(data)
    learner = SEGMENT.learner(job, whole, offline(job, "all", 0), None)
    return scores(whole.folds["test"].labels.numpy(), learner.predict(weights, "test").numpy(), FINDINGS)


def one_seed(seed: int, scans: int, folder: Path) -> dict[str, list[dict]]:
    file = folder / f"site-{seed}.yaml"
    file.write_text(PHANTOM.format(scans=scans, seed=seed))
    job = plan("fedavg", seed)
    data = {site: SEGMENT.open(file, site, SITES, job) for site in SITES}
    found = {"alone": [tested(job, trained(job, {site: data[site]}), data) for site in SITES]}
    for scheme in ("fedavg", "feddc"):
        found[scheme] = [tested(job, trained(plan(scheme, seed), data), data)]
    found["pooled"] = [tested(job, trained(job, {"pooled": together(data)}), data)]
    return found


def table(rows: list[dict[str, list[dict]]]) -> str:
    lines = ["| trained | finding | Dice | surface Dice | false alarms |", "|---|---|---|---|---|"]
    for how in ("alone", "fedavg", "feddc", "pooled"):
        for name in FINDINGS:
            cells = [_mean(rows, how, name, key) for key in ("dice", "surface_dice", "false_alarms")]
            lines.append(f"| {how} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write(out: Path, rows: list[dict[str, list[dict]]], scans: int) -> None:
    """The table so far: a bench that is stopped keeps the seeds that it has."""
    out.parent.mkdir(parents=True, exist_ok=True)
    setting = f"{len(rows)} seeds, {len(SITES)} sites, {scans // 2} training and {scans - scans // 2} test slices each"
    out.write_text(f"{setting}; {ROUNDS} rounds of {EPOCHS} passes; mean over seeds ± SD.\n\n{table(rows)}\n")


def _mean(rows, how: str, name: str, key: str) -> str:
    each = [statistics.fmean(one[name][key] for one in row[how] if one[name][key] is not None) for row in rows]
    return f"{statistics.fmean(each):.3f} ± {statistics.stdev(each) if len(each) > 1 else 0:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--scans", type=int, default=32)
    parser.add_argument("--out", type=Path, default=Path("docs/results/segment.md"))
    given = parser.parse_args()
    one_thread()
    began, rows = time.process_time(), []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(1, given.seeds + 1):
            rows.append(one_seed(seed, given.scans, Path(folder)))
            dice = {how: round(statistics.fmean(one["any"]["dice"] for one in rows[-1][how]), 3) for how in rows[-1]}
            print(seed, dice, f"{time.process_time() - began:.0f} s of CPU", flush=True)
            write(given.out, rows, given.scans)


if __name__ == "__main__":
    main()

"""New scans from another scanner: what the model still knows of the old ones, by how training remembers; resumable.

    python bench/continual.py --seeds 5 --minutes 7    # again until nothing is left

Four sites of 24 phantom slices each. The first run (20 rounds of FedAvg) is on the scanners that the sites had; then
all get another scanner, and a second run (10 rounds) starts from the first. AUROC of any bleeding over all sites' test
slices.
"""

import tempfile
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from resumed import command, spread

from brainct.core.names import site_names
from brainct.ct.dataset import open_site
from brainct.ct.metrics import scores
from brainct.ct.phantom import SCANNERS
from brainct.ct.site_choices import PhantomChoices, Split
from brainct.ct.site_config import SiteFile
from brainct.job.config import Plan, plan_of
from brainct.run import start_model
from brainct.run.model_file import read_model
from brainct.run.rehearse import rehearse
from brainct.security.credentials import offline
from brainct.training.data import Dataset

SITES, TRAIN, TEST, STORED = site_names(4), 24, 40, 8
NETWORK = {"architecture": "cnn", "size": 64, "options": {"widths": [8, 16, 32, 64]}}
FIT = {"optimizer": "adamw", "rate": 0.003, "decay": "cosine", "epochs": 3}
WAYS: dict[str, dict[str, float] | None] = {
    "nothing": None,
    "distill 0.1": {"distill": 0.1},
    "distill 1": {"distill": 1.0},
    "ewc 100": {"ewc": 100.0},
    "ewc 10000": {"ewc": 10000.0},
    "replay of 8 scans": {"replay": 1.0},
    "replay and distill 0.1": {"replay": 1.0, "distill": 0.1},
}


def plan(seed: int, rounds: int, **choices: Any) -> Plan:
    run = {"scheme": "fedavg", "rounds": rounds, "seed": seed, "evaluate_every": 0, "network": NETWORK, "fit": FIT}
    return plan_of({**run, **choices}, "bench/continual.py")


@cache
def scans(site: str, seed: int, new: bool) -> Dataset:
    """All old scanners are kinds of their own; the new one is the same at all sites."""
    at = (seed + (0 if new else 1 + SITES.index(site))) % len(SCANNERS)
    whole = TRAIN + TEST
    chosen = PhantomChoices(scans=whole, seed=seed + 1000 * new, scanner=SCANNERS[at].name, prevalence=0.5)
    split = Split(train=TRAIN / whole, valid=0.0, test=TEST / whole)
    return open_site(SiteFile(kind="phantom", phantom=chosen, split=split, batch_size=8, device="cpu"), site, [], 64)


def stored(site: str, seed: int) -> Any:
    """The first scans of the old training fold: what a hospital could keep."""
    fold = scans(site, seed, False).folds["train"]
    return replace(fold, inputs=fold.inputs[:STORED], labels=fold.labels[:STORED], patients=None, studies=None)


def auroc(folder: Path, job: Plan, seed: int, new: bool) -> float:
    weights, labels, guesses = read_model(folder / "model.safetensors").weights, [], []
    for site in SITES:
        learner = job.kind.learner(job, scans(site, seed, new), offline(job, site, 0), job.kind.prepare(job, 1))
        labels.append(scans(site, seed, new).folds["test"].labels.double().numpy())
        guesses.append(learner.predict(weights, "test").double().numpy())
    return float(scores(np.concatenate(labels), np.concatenate(guesses))["any"]["auroc"])


def first(seed: int, folder: Path) -> Path:
    place = folder / f"first-{seed}"
    if not place.exists():
        rehearse(plan(seed, 20), SITES, place, opener=lambda f, site, s, p: scans(site, seed, False), log=quiet)
    return place


def quiet(line: str) -> None:
    pass


def run(seed: int, way: str, folder: Path) -> dict[str, Any]:
    before = first(seed, folder)
    start, file = start_model.named(str(before), plan(seed, 10))
    job = plan(seed, 10, start_from=start, fit={**FIT, "remember": WAYS[way]})
    out = folder / f"{seed}-{way}"

    def opener(file: Any, site: str, sites: Any, plan: Plan) -> Dataset:
        return replace(scans(site, seed, True), earlier=stored(site, seed))

    rehearse(job, SITES, out, start=file, opener=opener, log=quiet)
    row = {"seed": seed, "way": way, "old": auroc(out, job, seed, False), "new": auroc(out, job, seed, True)}
    return {**row, "old_before": auroc(before, job, seed, False), "new_before": auroc(before, job, seed, True)}


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["| training remembers by | seeds | new scanner | old scanners | forgotten | mean of both |"]
    lines.append("|---|---|---|---|---|---|")
    for way in ["before the second run", *WAYS]:
        mine = [row for row in rows if row["way"] == (way if way in WAYS else "nothing")]
        if not mine:
            continue
        end = "" if way in WAYS else "_before"
        new, old = ([row[key + end] for row in mine] for key in ("new", "old"))
        gone = [row["old_before"] - row["old" + end] for row in mine]
        both = [(a + b) / 2 for a, b in zip(new, old, strict=True)]
        cells = " | ".join(spread(values) for values in (new, old, gone, both))
        lines.append(f"| {way} | {len(mine)} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        runs = lambda seed: [({"seed": seed, "way": way}, partial(run, seed, way, Path(folder))) for way in WAYS]  # noqa: E731
        command(__doc__, "continual", runs, table)


if __name__ == "__main__":
    main()

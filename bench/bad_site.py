"""One of seven hospitals has its labels upside down, or scans that are noise: what is left of each scheme; resumable.

    export BRAINCT_HEAD_CT=/data/head_ct          # see poc/sites/head_ct.yaml
    python bench/bad_site.py --seeds 5 --minutes 9   # again until nothing is left

The federation, rounds and arguments of docs/results/study/head_ct.yaml, with the robust schemes added. The first
hospital's training scans are spoilt, and the test scans, which all share, are not. AUROC of any bleeding.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from resumed import command, spread

from brainct.compare.comparison import Comparison
from brainct.compare.comparison_file import comparison_of, read_comparison
from brainct.compare.one_run import run_one
from brainct.compare.planned_runs import PlannedRun, planned_runs
from brainct.training.data import Dataset, Fold

STUDY = Path(__file__).parents[1] / "docs" / "results" / "study" / "head_ct.yaml"
SCHEMES = ("fedavg", "turns", "feddyn", "median", "trimmed_mean", "pooled")
ROBUST = ({"scheme": "median"}, {"scheme": "trimmed_mean"})


def upside_down(fold: Fold, seed: int) -> Fold:
    return replace(fold, labels=1 - fold.labels)


def noise(fold: Fold, seed: int) -> Fold:
    drawn = torch.rand(fold.inputs.shape, generator=torch.Generator().manual_seed(seed))
    return replace(fold, inputs=drawn.to(fold.inputs.dtype))


SPOILT: Mapping[str, Callable[[Fold, int], Fold]] = {
    "none": lambda fold, seed: fold,
    "labels upside down": upside_down,
    "noise for scans": noise,
}


@cache
def comparison(seed: int) -> Comparison:
    whole = read_comparison(STUDY)
    choices = whole.model_dump(exclude={"schemes", "seeds"}, exclude_unset=True)
    given = [entry.model_dump(exclude_unset=True) for entry in whole.schemes]
    wanted = [entry for entry in given if entry.get("name", entry["scheme"]) in SCHEMES]
    return comparison_of({**choices, "seeds": [seed], "schemes": [*wanted, *ROBUST]}, STUDY.name)


@cache
def scans(seed: int) -> dict[str, Dataset]:
    run = next(iter(planned_runs(comparison(seed), lambda run: None)))
    return run.federation.open(seed, run.plan)


def run(planned: PlannedRun, spoilt: str) -> dict[str, Any]:
    opened = dict(scans(planned.seed))
    site = planned.federation.names[0]
    folds = opened[site].folds
    spoilt_fold = SPOILT[spoilt](folds["train"], planned.seed)
    opened[site] = replace(opened[site], folds={**folds, "train": spoilt_fold})
    row = run_one(planned, opened)
    if row.error:
        raise SystemExit(f"{row.name}: {row.error}")
    return {"seed": planned.seed, "scheme": row.name, "spoilt": spoilt, "auroc": row.mean()}


def runs(seed: int) -> Any:
    for planned in planned_runs(comparison(seed), lambda run: None):
        for spoilt in SPOILT if planned.entry.label in SCHEMES else ():
            named = {"seed": seed, "scheme": planned.entry.label, "spoilt": spoilt}
            yield named, partial(run, planned, spoilt)


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"| scheme | seeds | {' | '.join(SPOILT)} |", "|" + "---|" * (2 + len(SPOILT))]
    for scheme in SCHEMES:
        mine = {
            spoilt: {r["seed"]: r["auroc"] for r in rows if (r["scheme"], r["spoilt"]) == (scheme, spoilt)}
            for spoilt in SPOILT
        }
        common = sorted(set.intersection(*map(set, mine.values())))
        cells = [spread([of[seed] for seed in common]) for of in mine.values()]
        lines.append(f"| `{scheme}` | {len(common)} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    command(__doc__, "bad_site", runs, table)

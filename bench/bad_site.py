"""One of seven hospitals has its labels upside down, or scans that are noise, or sends changes a thousand times
too long: what is left of each scheme; resumable.

    export BRAINCT_HEAD_CT=/data/head_ct          # see poc/sites/head_ct.yaml
    python bench/bad_site.py --seeds 5 --minutes 9   # again until nothing is left

The federation, rounds and arguments of docs/results/study/head_ct.yaml, with the robust schemes added. The first
hospital's training scans or changes are spoilt, and the test scans, which all share, are not. AUROC of any bleeding.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from resumed import command, spread

from brainct.compare.comparison import Comparison
from brainct.compare.comparison_file import comparison_of, read_comparison
from brainct.compare.one_run import run_one
from brainct.compare.planned_runs import PlannedRun, planned_runs
from brainct.core.learner import Fitted
from brainct.core.weights import Weights
from brainct.training.data import Dataset, Fold
from brainct.training.learner import TorchLearner

STUDY = Path(__file__).parents[1] / "docs" / "results" / "study" / "head_ct.yaml"
SCHEMES = ("fedavg", "turns", "turns-limit-3", "feddyn", "median", "trimmed_mean", "pooled")
LIMITED = {
    "name": "turns-limit-3",
    "scheme": "turns",
    "arguments": {"limit": 3},
    "rounds": 824,
    "fit": {"batch_size": 12},
}
ADDED = ({"scheme": "median"}, {"scheme": "trimmed_mean"}, LIMITED)
TOO_LONG = "changes 1,000 times too long"


def upside_down(fold: Fold, seed: int) -> Fold:
    return replace(fold, labels=1 - fold.labels)


def noise(fold: Fold, seed: int) -> Fold:
    drawn = torch.rand(fold.inputs.shape, generator=torch.Generator().manual_seed(seed))
    return replace(fold, inputs=drawn.to(fold.inputs.dtype))


SPOILT: Mapping[str, Callable[[Fold, int], Fold]] = {
    "none": lambda fold, seed: fold,
    "labels upside down": upside_down,
    "noise for scans": noise,
    TOO_LONG: lambda fold, seed: fold,
}


def fit_too_long(learner: TorchLearner, weights: Weights, **how: Any) -> Fitted:
    found = FIT(learner, weights, **how)
    moved = {key: weights[key] + 1000 * (value - weights[key]) for key, value in found.weights.items()}
    return replace(found, weights=moved)


def gradient_too_long(learner: TorchLearner, weights: Weights, **how: Any) -> Fitted:
    found = GRADIENT(learner, weights, **how)
    return replace(found, weights={key: 1000 * value for key, value in found.weights.items()})


FIT, GRADIENT = TorchLearner.fit, TorchLearner.gradient


def only(site: str, false: Callable[..., Fitted], true: Callable[..., Fitted]) -> Callable[..., Fitted]:
    """A learner's method that is false at one site."""
    return lambda learner, weights, **how: (false if learner.site == site else true)(learner, weights, **how)


@cache
def comparison(seed: int) -> Comparison:
    whole = read_comparison(STUDY)
    choices = whole.model_dump(exclude={"schemes", "seeds"}, exclude_unset=True)
    given = [entry.model_dump(exclude_unset=True) for entry in whole.schemes]
    wanted = [entry for entry in given if entry.get("name", entry["scheme"]) in SCHEMES]
    return comparison_of({**choices, "seeds": [seed], "schemes": [*wanted, *ADDED]}, STUDY.name)


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
    with ExitStack() as stack:
        if spoilt == TOO_LONG:
            stack.enter_context(patch.object(TorchLearner, "fit", only(site, fit_too_long, FIT)))
            stack.enter_context(patch.object(TorchLearner, "gradient", only(site, gradient_too_long, GRADIENT)))
        row = run_one(planned, opened)
    if row.error and spoilt != TOO_LONG:
        raise SystemExit(f"{row.name}: {row.error}")
    return {"seed": planned.seed, "scheme": row.name, "spoilt": spoilt, "auroc": row.mean(), "error": row.error}


def runs(seed: int) -> Any:
    for planned in planned_runs(comparison(seed), lambda run: None):
        kinds = [kind for kind in SPOILT if kind != TOO_LONG or not planned.entry.pooled]
        for spoilt in kinds if planned.entry.label in SCHEMES else ():
            named = {"seed": seed, "scheme": planned.entry.label, "spoilt": spoilt}
            yield named, partial(run, planned, spoilt)


def cell(values: list[float | None]) -> str:
    """Mean and standard deviation, and how many runs could not be ended."""
    ended = [value for value in values if value is not None]
    failed = f"{len(values) - len(ended)} of {len(values)} failed" if len(ended) < len(values) else ""
    return ", ".join(filter(None, (spread(ended) if ended or not failed else "", failed)))


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"| scheme | seeds | {' | '.join(SPOILT)} |", "|" + "---|" * (2 + len(SPOILT))]
    for scheme in SCHEMES:
        mine = {
            spoilt: {r["seed"]: r["auroc"] for r in rows if (r["scheme"], r["spoilt"]) == (scheme, spoilt)}
            for spoilt in SPOILT
        }
        seeds = [set(of) for of in mine.values() if of]
        common = sorted(set.intersection(*seeds)) if seeds else []
        cells = [cell([of[seed] for seed in common if seed in of]) for of in mine.values()]
        lines.append(f"| `{scheme}` | {len(common)} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    command(__doc__, "bad_site", runs, table)

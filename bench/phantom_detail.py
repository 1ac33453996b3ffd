"""Which details of the phantom bring its start model nearer to real head CT; resumable, writes the page.

    export BRAINCT_HEAD_CT=folder/with/labels.csv
    python bench/phantom_detail.py --minutes 7 --models FOLDER     # again until nothing is left
    python bench/phantom_detail.py --page                          # writes docs/results/phantom_detail.md, runs nothing

The real slices are divided into five folds by a hash of their names, near duplicates together. For each fold the
details are chosen on the slices outside it: screened in a two-level design, then added one after the other in the order
of their effects, each kept if the zero-shot AUROC rises. The fold is scored by the choice made without it.
"""

import argparse
import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from resumed import spread
from scipy.linalg import hadamard
from sklearn.metrics import roc_auc_score

from brainct.compare.evaluation import opener
from brainct.core.determinism import one_thread
from brainct.ct.config import ct_choices
from brainct.ct.model import network_of
from brainct.ct.phantom import DETAILS
from brainct.ct.scans import read_scans
from brainct.ct.site_config import read_site_file
from brainct.job.config import plan_of
from brainct.pretrain.phantom import NETWORK, ROUNDS, SCANS, plan_for, pretrain
from brainct.run.model_file import FILE, read_model
from brainct.run.rehearse import rehearse
from brainct.run.start_model import named
from brainct.training.data import Dataset, Fold

ROOT = Path(__file__).parent.parent
LEDGER = ROOT / "docs" / "results" / "phantom_detail" / "ledger.jsonl"
PAGE = ROOT / "docs" / "results" / "phantom_detail.md"
SITE_FILE = ROOT / "poc" / "sites" / "head_ct.yaml"

FOLDS, SITES, SCANS_A_SITE = 5, 7, 16
SCREENING, FORWARD, FINAL = (1, 2), (1, 2), (11, 12, 13, 14, 15, 16, 17, 18)
"""Seeds: of the design's two halves, of each forward step, and fresh ones for what is reported."""
CANDIDATES = 6
"""So many details with the largest effects are tried one after the other."""
RIDGE_SEEDS = (1, 2)
"""Partitions among the hospitals for each fold and start model."""

Names = tuple[str, ...]
Key = tuple[Names, int]
Scores = Mapping[str, float]
Row = dict[str, Any]


@dataclass(frozen=True)
class Real:
    """The real slices: names, images (N, C, H, W), labels of `any` (N,), groups of near duplicates, and folds."""

    names: Names
    images: torch.Tensor
    labels: np.ndarray
    fold_of: np.ndarray


def ordered(names: Sequence[str]) -> Names:
    return tuple(name for name in DETAILS if name in names)


@cache
def real() -> Real:
    file = read_site_file(SITE_FILE)
    scans = read_scans(file, NETWORK["size"], 2)
    labels = scans.labels[:, -1].astype(int)
    return Real(scans.names, scans.images, labels, folds_of(scans.names, labels, scans.groups))


def folds_of(names: Sequence[str], labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Large groups first, then in the order of a hash, each goes to the fold with fewest of its label."""
    fold_of, counts = np.zeros(len(names), int), np.zeros((FOLDS, 2), int)
    units = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    for unit in sorted(units, key=lambda unit: (-len(unit), hashlib.sha256(names[unit[0]].encode()).hexdigest())):
        kind = labels[unit].max()
        fold = min(range(FOLDS), key=lambda at: (counts[at, kind], counts[at].sum(), at))
        fold_of[unit] = fold
        np.add.at(counts, (fold, labels[unit]), 1)
    return fold_of


# -- runs -----------------------------------------------------------------------------------------------------------


def start_run(key: Key, models: Path) -> Row:
    """Train a start model as `brainct model pretrain` does, and score every real slice with it."""
    detail, seed = key
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        record = pretrain(plan_for(seed=seed), out, log=lambda line: None, detail=detail).content
        models.mkdir(parents=True, exist_ok=True)
        (models / f"{record['model_sha256']}.safetensors").write_bytes((out / FILE).read_bytes())
        weights = read_model(out / FILE).weights
    cpu = time.process_time() - began
    phantom = record["test"]["phantom"]["any"]["auroc"]
    scores = {name: round(float(score), 6) for name, score in zip(real().names, answers(weights), strict=True)}
    named = {"kind": "start", "detail": list(detail), "seed": seed, "passes": ROUNDS, "scans": SCANS}
    found = {"phantom_auroc": phantom, "cpu": round(cpu, 1), "model_sha256": record["model_sha256"]}
    return named | found | {"scores": scores}


def answers(weights: Mapping[str, torch.Tensor]) -> np.ndarray:
    """The answer for any bleeding, a logit, of each real slice."""
    network = network_of(ct_choices(plan_for()).network, 1)
    network.load_state_dict(dict(weights))
    with torch.no_grad():
        return np.asarray(network.eval()(real().images)[:, -1])


def ridge_run(named_as: Row, model: Path) -> Row:
    """One round of `ridge` over seven hospitals with the slices outside the fold, tested on the fold."""
    fold, partition = named_as["fold"], named_as["partition"]
    choices = {"scheme": "ridge", "rounds": 1, "seed": partition, "network": NETWORK, "evaluate_every": 0}
    plan = plan_of(choices, "bench/phantom_detail.py")
    start, file = named(str(model), plan)
    plan = plan_of(choices | {"start_from": start}, "bench/phantom_detail.py")
    data = hospitals(fold, partition)
    with tempfile.TemporaryDirectory() as folder:
        how: dict[str, Any] = {"start": file, "opener": opener(data), "log": lambda line: None}
        record = rehearse(plan, sorted(data), Path(folder) / "run", **how).content
    auroc = statistics.fmean(one["any"]["auroc"] for one in record["test"].values())
    return {**named_as, "auroc": auroc, "model_sha256": start["sha256"]}


def hospitals(fold: int, partition: int) -> dict[str, Dataset]:
    """The slices outside a fold in seven equal parts, labels spread evenly; the fold is everybody's test fold."""
    slices = real()
    rng = np.random.default_rng([fold, partition])
    outside = rng.permutation(np.flatnonzero(slices.fold_of != fold))
    outside = outside[np.argsort(slices.labels[outside], kind="stable")]
    test = part_of(np.flatnonzero(slices.fold_of == fold))
    found = {}
    for at in range(SITES):
        train = part_of(outside[at::SITES][:SCANS_A_SITE])
        folds = {"train": train, "valid": Fold(train.inputs[:0], train.labels[:0]), "test": test}
        found[f"site-{at + 1}"] = Dataset("png_csv", folds, train.digest)
    return found


def part_of(places: np.ndarray) -> Fold:
    labels = torch.full((len(places), 6), torch.nan)
    labels[:, -1] = torch.from_numpy(real().labels[places]).float()
    return Fold(real().images[torch.from_numpy(places)], labels)


# -- choice ---------------------------------------------------------------------------------------------------------


def design() -> list[Key]:
    """A Hadamard design of 16 runs and its mirror image: no main effect is mixed with an effect of two details."""
    signs = hadamard(16)[:, 1 : len(DETAILS) + 1]
    half = [ordered([name for name, sign in zip(DETAILS, row, strict=True) if sign > 0]) for row in signs]
    mirror = [ordered([name for name in DETAILS if name not in one]) for one in half]
    return [(one, seed) for pair in zip(half, mirror, strict=True) for one, seed in zip(pair, SCREENING, strict=True)]


class Found:
    """What has been measured. outside: the fold that is left out of every AUROC; None for none."""

    def __init__(self, rows: Sequence[Row], slices: Real):
        starts = [row for row in rows if row["kind"] == "start"]
        self.rows: dict[Key, Row] = {(tuple(row["detail"]), row["seed"]): row for row in starts}
        self.ridge = {ridge_name(row): row["auroc"] for row in rows if row["kind"] == "ridge"}
        self.slices = slices

    def scores(self, key: Key) -> np.ndarray:
        own = self.rows[key]["scores"]
        return np.array([own[name] for name in self.slices.names])

    def auroc(self, key: Key, places: np.ndarray) -> float:
        return float(roc_auc_score(self.slices.labels[places], self.scores(key)[places]))

    def outside(self, fold: int | None) -> np.ndarray:
        return np.flatnonzero(self.slices.fold_of != (-1 if fold is None else fold))

    def mean(self, detail: Names, seeds: Sequence[int], places: np.ndarray) -> float:
        return statistics.fmean(self.auroc((detail, seed), places) for seed in seeds)

    def effects(self, fold: int | None) -> dict[str, float]:
        """Mean AUROC with a detail less that without it, over the design; the largest first."""
        gain = effects_on([self.auroc(key, self.outside(fold)) for key in design()])
        return dict(sorted(gain.items(), key=lambda item: -item[1]))

    def error(self) -> float:
        """Standard error of an effect on all slices: from what details and seed do not explain, each by itself."""
        scores = [self.auroc(key, self.outside(None)) for key in design()]
        known = [[1.0, seed == SCREENING[0], *(name in detail for name in DETAILS)] for detail, seed in design()]
        rest = np.linalg.lstsq(np.array(known, float), np.array(scores), rcond=None)[1][0]
        return float(2 * np.sqrt(rest / (len(known) - len(known[0])) / len(known)))


def effects_on(scores: Sequence[float]) -> dict[str, float]:
    """Of each detail on the figures of the design's runs."""
    on = {name: np.array([name in detail for detail, _ in design()]) for name in DETAILS}
    return {name: float(np.mean(np.array(scores)[own]) - np.mean(np.array(scores)[~own])) for name, own in on.items()}


@dataclass(frozen=True)
class Choice:
    """The chosen details, the steps (name, gain in AUROC), and the runs that are missing before it is known."""

    detail: Names
    steps: tuple[tuple[str, float], ...]
    missing: tuple[Key, ...] = ()


def choose(found: Found, fold: int | None) -> Choice:
    """The details chosen on the slices outside a fold."""
    missing = tuple(key for key in design() if key not in found.rows)
    if missing:
        return Choice((), (), missing)
    chosen: Names = ()
    steps: list[tuple[str, float]] = []
    places = found.outside(fold)
    for name in [name for name, gain in found.effects(fold).items() if gain > 0][:CANDIDATES]:
        tried = ordered([*chosen, name])
        missing = tuple((one, seed) for one in (chosen, tried) for seed in FORWARD if (one, seed) not in found.rows)
        if missing:
            return Choice(chosen, tuple(steps), missing)
        gain = found.mean(tried, FORWARD, places) - found.mean(chosen, FORWARD, places)
        steps.append((name, gain))
        chosen = tried if gain > 0 else chosen
    return Choice(chosen, tuple(steps))


def choices(found: Found) -> dict[int | None, Choice]:
    """Of each fold, and of all slices together under None."""
    return {fold: choose(found, fold) for fold in (*range(FOLDS), None)}


def ridge_name(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row["detail"]), row["seed"], row["fold"], row["partition"]


def next_run(rows: Sequence[Row], models: Path) -> Callable[[], Row] | None:
    """What is to be done next; None when nothing is left."""
    found = Found(rows, real())
    chosen = choices(found)
    missing = [key for choice in chosen.values() for key in choice.missing]
    if not missing:
        sets = dict.fromkeys([(), *(choice.detail for choice in chosen.values())])
        missing = [(one, seed) for seed in FINAL for one in sets if (one, seed) not in found.rows]
    if missing:
        return partial(start_run, missing[0], models)
    for named_as in ridge_runs(chosen):
        if ridge_name(named_as) not in found.ridge:
            start = found.rows[tuple(named_as["detail"]), named_as["seed"]]
            return partial(ridge_run, named_as, models / f"{start['model_sha256']}.safetensors")
    return None


def ridge_runs(chosen: Mapping[int | None, Choice]) -> Iterator[Row]:
    """Each fold, seed and partition from the plain start model, and from that of the choice made without the fold."""
    for fold, seed, partition in product(range(FOLDS), FINAL, RIDGE_SEEDS):
        for detail in dict.fromkeys([(), chosen[fold].detail]):
            yield {"kind": "ridge", "detail": list(detail), "seed": seed, "fold": fold, "partition": partition}


def read_rows() -> list[Row]:
    return [json.loads(line) for line in LEDGER.read_text().splitlines()] if LEDGER.exists() else []


# -- page -----------------------------------------------------------------------------------------------------------

DRAWS = 2000
"""Bootstrap draws of the slices, within fold and label."""


def wins(found: Found, key: Key, fold: int) -> np.ndarray:
    """(bleeding, not bleeding) slices of a fold: 1 where the answers are in the right order, 0.5 where equal."""
    places = found.slices.fold_of == fold
    scores, labels = found.scores(key)[places], found.slices.labels[places]
    above = scores[labels == 1][:, None] - scores[labels == 0]
    return np.asarray((np.sign(above) + 1) / 2)


def differences(found: Found, chosen: Mapping[int | None, Choice]) -> tuple[float, float, np.ndarray]:
    """Cross-validated AUROC of plain and of the choices, mean over folds and seeds, and DRAWS differences."""
    pairs = [
        [(wins(found, ((), seed), fold), wins(found, (chosen[fold].detail, seed), fold)) for seed in FINAL]
        for fold in range(FOLDS)
    ]
    plain, rich = (float(np.mean([[each[at].mean() for each in fold] for fold in pairs])) for at in (0, 1))
    rng, drawn = np.random.default_rng(0), np.zeros(DRAWS)
    seeds = rng.multinomial(len(FINAL), [1 / len(FINAL)] * len(FINAL), DRAWS) / len(FINAL)
    for fold in pairs:
        rows, columns = fold[0][0].shape
        change = np.stack([two - one for one, two in fold])
        weights = rng.multinomial(rows, [1 / rows] * rows, DRAWS) / rows
        others = rng.multinomial(columns, [1 / columns] * columns, DRAWS) / columns
        drawn += np.einsum("ds,di,sij,dj->d", seeds, weights, change, others, optimize=True) / FOLDS
    return plain, rich, drawn


def ridge_pairs(found: Found, chosen: Mapping[int | None, Choice]) -> np.ndarray:
    """(folds, runs, 2): AUROC after one round from the plain start model and from the chosen one."""
    named = [
        [{"seed": seed, "fold": fold, "partition": part} for seed, part in product(FINAL, RIDGE_SEEDS)]
        for fold in range(FOLDS)
    ]
    sets = [[(), chosen[fold].detail] for fold in range(FOLDS)]
    return np.array(
        [
            [[found.ridge[ridge_name({"detail": detail, **run})] for detail in own] for run in runs]
            for own, runs in zip(sets, named, strict=True)
        ]
    )


def signed(low: float, high: float) -> str:
    return f"[{low:+.3f}, {high:+.3f}]"


def of_runs(pairs: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of the mean difference: folds and start models' seeds are drawn, partitions averaged."""
    change, rng = pairs[..., 1] - pairs[..., 0], np.random.default_rng(0)
    each = change.reshape(FOLDS, len(FINAL), len(RIDGE_SEEDS)).mean(2)
    folds = rng.integers(FOLDS, size=(DRAWS, FOLDS, 1))
    drawn = each[folds, rng.integers(len(FINAL), size=(DRAWS, 1, len(FINAL)))].mean((1, 2))
    return float(np.quantile(drawn, 0.025)), float(np.quantile(drawn, 0.975))


def by_seed(pairs: np.ndarray) -> np.ndarray:
    """Mean difference after one round for each seed of FINAL."""
    change = pairs[..., 1] - pairs[..., 0]
    return np.asarray(change.reshape(FOLDS, len(FINAL), len(RIDGE_SEEDS)).mean((0, 2)))


def verdict(low: float, high: float) -> str:
    return "is higher" if low > 0 else "is lower" if high < 0 else "cannot be told from the plain one's"


def words(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def summary(found: Found, chosen: Mapping[int | None, Choice]) -> list[str]:
    plain, rich, drawn = differences(found, chosen)
    low, high = (float(value) for value in np.quantile(drawn, [0.025, 0.975]))
    pairs = ridge_pairs(found, chosen)
    before, after = (float(value) for value in pairs.mean((0, 1)))
    few, many = of_runs(pairs)
    ahead = int((pairs[..., 1] > pairs[..., 0]).sum())
    return [
        "| | plain | with the chosen details | difference, 95 % interval | ahead in |",
        "|---|---|---|---|---|",
        f"| zero-shot | {plain:.3f} | {rich:.3f} | {rich - plain:+.3f} {signed(low, high)} | |",
        f"| one round of `ridge` | {before:.3f} | {after:.3f} | {after - before:+.3f} {signed(few, many)} "
        f"| {ahead} of {pairs[..., 0].size} |",
        "",
        f"The zero-shot AUROC with the chosen details {verdict(low, high)};",
        f"after one round of `ridge` it {verdict(few, many)}.",
        *([] if low > 0 or few > 0 else ["The start model of the package therefore stays that of the plain phantom."]),
    ]


def detail_table(found: Found, chosen: Mapping[int | None, Choice]) -> list[str]:
    effects = {fold: found.effects(fold) for fold in (*range(FOLDS), None)}
    drawn = effects_on([found.rows[key]["phantom_auroc"] for key in design()])
    lines = ["| detail | what it adds | effect | without a fold | on the phantom | chosen in |"]
    lines.append("|---|---|---|---|---|---|")
    for name, effect in effects[None].items():
        each = [effects[fold][name] for fold in range(FOLDS)]
        times = sum(name in chosen[fold].detail for fold in range(FOLDS))
        lines.append(
            f"| `{name}` | {DETAILS[name].about} | {effect:+.3f} | {min(each):+.3f} to {max(each):+.3f} "
            f"| {drawn[name]:+.3f} | {times} of {FOLDS} |"
        )
    return lines


def fold_table(found: Found, chosen: Mapping[int | None, Choice]) -> list[str]:
    lines = ["| left out | steps: gain in AUROC outside | chosen | plain on the fold | chosen on the fold |"]
    lines.append("|---|---|---|---|---|")
    for fold in (*range(FOLDS), None):
        one = chosen[fold]
        steps = ", ".join(f"`{name}` {gain:+.3f}" for name, gain in one.steps)
        places = np.flatnonzero(found.slices.fold_of == fold)
        own = [
            spread([found.auroc((detail, seed), places) for seed in FINAL]) if fold is not None else "–"
            for detail in ((), one.detail)
        ]
        lines.append(
            f"| {'none' if fold is None else f'fold {fold + 1}'} | {steps or 'none'} | {words(one.detail)} "
            f"| {own[0]} | {own[1]} |"
        )
    return lines


def seed_table(found: Found, chosen: Mapping[int | None, Choice]) -> list[str]:
    places = np.arange(len(found.slices.names))
    lines = ["| details | seeds of the choice | fresh seeds | other phantom slices | CPU s |", "|---|---|---|---|---|"]
    for detail in dict.fromkeys([(), *(one.detail for one in chosen.values())]):
        rows = [found.rows[detail, seed] for seed in FINAL]
        real_ones = [spread([found.auroc((detail, seed), places) for seed in seeds]) for seeds in (FORWARD, FINAL)]
        drawn = spread([row["phantom_auroc"] for row in rows])
        cpu = statistics.fmean(row["cpu"] for row in rows)
        lines.append(f"| {words(detail)} | {real_ones[0]} | {real_ones[1]} | {drawn} | {cpu:.0f} |")
    return lines


TEXT = """# A phantom nearer to real CT

Written by `python bench/phantom_detail.py --page` from [its ledger](phantom_detail/ledger.jsonl). The start model is
trained on the phantom alone ([start_model.md](../start_model.md)), here on a phantom with more details, and measured
on the {slices} slices of the public set Head CT by the AUROC of any bleeding; no slice scores a choice that it took
part in.

    export BRAINCT_HEAD_CT=/data/head_ct
    python bench/phantom_detail.py --minutes 7 --models FOLDER     # again until nothing is left: it resumes

{summary}

Zero-shot: mean over {folds} folds of 28 slices and over start models of {seeds} seeds that no choice has seen; the
interval is over {draws:,} draws of slices, within fold and label, and of seeds. `ridge`: the same start models, and for
each fold {parts} partitions of the 112 other slices among {sites} hospitals; the interval is over draws of folds and of
seeds. What a start model gains depends on its seed; mean differences, seed by seed:
{by_seed}.

## The details

Effect: mean zero-shot AUROC of the {half} start models with the detail less that of the {half} without it, in a design
of two levels (a Hadamard matrix of 16 and its mirror image, a seed each), on all slices; standard error {error:.3f}.
Without a fold: its range over the sets that lack one fold. On the phantom: the same for AUROC on other slices of each
model's own phantom. Chosen in: of the {folds} choices below.

{details}

## The choice without each fold

Of the details with an effect above 0, up to {most} are added to the plain phantom, the largest first, and each is kept
if the mean AUROC over {forward} seeds rises, on the slices outside the fold. The last row is the choice on all
slices: it has no fair figure of its own.

{choices}

## Seeds

AUROC on all real slices, which have taken part in the choice, mean ± standard deviation over the {forward} seeds of the
choice and over the {seeds} fresh ones. Where only the first column gains, seeds were chosen, not details.

{models}

## What to keep in mind

- {starts} start models were trained, each with the settings of `brainct model pretrain` on 648 slices.
- Folds: by a hash of the file's name, labels spread evenly, near duplicates together.
- No real slice was looked at to draw a detail, and no figure was fitted to one: figures are from the literature where
  `brainct.ct.phantom.details` names a source, and else chosen. The choice of names alone has used real slices.
- Not all of the procedure was fixed before the first run: up to 6 candidates became 3 for lack of time and 6 again, and
  3 fresh seeds became 5, then 8, as time allowed. With 5 seeds, `ridge` gained 0.034, and an interval over runs alone,
  without the spread of seeds, excluded 0 ([0.011, 0.059]); 3 more seeds halved the gain.
- A fold has 28 slices: read differences of single folds with care.
"""


def page(rows: Sequence[Row]) -> str:
    found = Found(rows, real())
    chosen = choices(found)
    tables = {
        "summary": summary(found, chosen),
        "details": detail_table(found, chosen),
        "choices": fold_table(found, chosen),
        "models": seed_table(found, chosen),
    }
    return TEXT.format(
        **{name: "\n".join(lines) for name, lines in tables.items()},
        slices=len(found.slices.names),
        error=found.error(),
        by_seed=", ".join(f"{value:+.3f}" for value in by_seed(ridge_pairs(found, chosen))),
        folds=FOLDS,
        seeds=len(FINAL),
        draws=DRAWS,
        parts=len(RIDGE_SEEDS),
        sites=SITES,
        half=len(design()) // 2,
        most=CANDIDATES,
        forward=len(FORWARD),
        starts=sum(row["kind"] == "start" for row in rows),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=7)
    parser.add_argument("--models", type=Path, default=Path("/tmp/phantom_detail"))
    parser.add_argument("--page", action="store_true", help="run nothing, write the page")
    chosen = parser.parse_args()
    one_thread()
    LEDGER.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    while not chosen.page and (run := next_run(read_rows(), chosen.models)):
        if time.monotonic() - began > 60 * chosen.minutes:
            print("time is up; the same command goes on")
            return
        row = run()
        with LEDGER.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print({key: value for key, value in row.items() if key != "scores"}, flush=True)
    PAGE.write_text(page(read_rows()))


if __name__ == "__main__":
    main()

"""What is compared: schemes with arguments and small grids, seeds, federations, budgets; and the runs that follow."""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from brainct.compare.code_hash import code_of
from brainct.compare.ledger import Row
from brainct.compare.simulated_sites import Federation
from brainct.compare.statistics import winner
from brainct.core.sentences import sentences
from brainct.errors import Refused
from brainct.job.config import Plan, plan_of
from brainct.schemes import SCHEMES

BASELINE = "fedavg"
"""What every scheme is compared to."""

FIT = {"optimizer": "adamw", "rate": 0.003, "decay": "cosine", "epochs": 3}


class Entry(BaseModel):
    """A row of the tables: a scheme and what it is run with.

    name: in the tables; by default the scheme's. grid: lists of values by argument, or by `fit.` and a choice of the
    local training; all combinations are tried on the design's first `tune_seeds` seeds, and the one with the best
    validation AUROC (mean over sites and these seeds) runs on the others. rounds: at budget 1, for the design's.
    extra_rounds: rounds in which the scheme trains nothing, beside the budget. fit, network: laid over the design's.
    pooled: one site has everybody's training scans, and its model is judged at each site.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    scheme: str
    arguments: dict[str, Any] = {}
    grid: dict[str, list[Any]] = {}
    rounds: int | None = Field(None, ge=1)
    extra_rounds: int = Field(0, ge=0)
    fit: dict[str, Any] = {}
    network: dict[str, Any] = {}
    pooled: bool = False

    @property
    def called(self) -> str:
        """Its name in the tables."""
        return self.name or self.scheme

    def points(self) -> list[dict[str, Any]]:
        """The grid's points; one empty point where nothing is tuned."""
        return [dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())]


ALWAYS = (
    Entry(scheme=BASELINE),
    Entry(name="pooled", scheme=BASELINE, pooled=True),
    Entry(name="alone", scheme="local"),
    Entry(scheme="finetune"),
)
"""Compared whatever else is, unless the design says it in its own words under the same name."""


def _entries(value: Any) -> Any:
    return [{"scheme": each} if isinstance(each, str) else each for each in value] if isinstance(value, list) else value


def _seeds(value: Any) -> Any:
    return list(range(1, value + 1)) if isinstance(value, int) and not isinstance(value, bool) else value


class Design(BaseModel):
    """A comparison, as plan.yaml states it.

    schemes: names or entries. seeds: a list, or how many from 1 on. budgets: multiples of the rounds. rounds: at
    budget 1. fit: local training; an equal number of epochs a round is an equal number of gradient steps for all
    schemes, and pooled training then takes as many steps as all sites together. evaluate_every: rounds between points
    of the validation curve. levels: of AUROC, for which the first round that reached them is noted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schemes: Annotated[list[Entry], BeforeValidator(_entries)] = []
    seeds: Annotated[list[int], BeforeValidator(_seeds), Field(min_length=1)] = [1, 2, 3, 4, 5]
    tune_seeds: int = Field(3, ge=1)
    federations: list[Federation] = Field([Federation()], min_length=1)
    budgets: list[Annotated[int, Field(ge=1)]] = Field([1], min_length=1)
    rounds: int = Field(30, ge=1)
    network: dict[str, Any] = {"architecture": "densenet-small", "size": 64}
    fit: dict[str, Any] = FIT
    evaluate_every: int = Field(5, ge=0)
    levels: list[float] = [0.7, 0.8, 0.9]

    @cached_property
    def entries(self) -> list[Entry]:
        """All entries: ALWAYS first, then the design's, each name once."""
        own = {entry.called: entry for entry in self.schemes}
        always = [own.pop(entry.called, entry) for entry in ALWAYS]
        return [*always, *own.values()]


@dataclass(frozen=True)
class Spec:
    """One run to do."""

    entry: Entry
    point: Mapping[str, Any]
    federation: Federation
    seed: int
    budget: int
    plan: Plan
    levels: tuple[float, ...]

    @cached_property
    def key(self) -> str:
        """SHA-256 of all choices that determine the result; defaults left out, so that new ones leave it as it was."""
        defaults = SCHEMES[self.plan.scheme]().arguments
        arguments = {name: value for name, value in self.plan.arguments.items() if value != defaults.get(name)}
        plan = self.plan.model_dump(mode="json", exclude_defaults=True) | {"arguments": arguments}
        whole = {"plan": plan, "federation": self.federation.digest, "pooled": self.entry.pooled}
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()

    @cached_property
    def code(self) -> str:
        """SHA-256 of the modules that would compute it."""
        return code_of(self.plan, self.federation.data is not None)

    @property
    def work(self) -> float:
        """Roughly how long it takes, in arbitrary units."""
        return float(self.plan.rounds * self.federation.sites * self.federation.scans)

    def __str__(self) -> str:
        grid = " ".join(f"{name}={value}" for name, value in self.point.items())
        return " ".join(
            filter(None, [self.federation.called, self.entry.called, grid, f"seed {self.seed} budget {self.budget}"])
        )


Found = Callable[[Spec], Row | None]
"""The row of a run that has ended, done or failed."""


def wanted(design: Design, found: Found) -> list[Spec]:
    """The runs of a design as far as they can be known: a grid's winner only once all of its tuning runs have ended.

    The lowest budget comes first, then the seeds in turn, so that early rows already compare all schemes; runs of one
    federation and one seed stand together, so that its scans are opened once.
    """
    runs = [
        spec
        for federation, entry, budget in itertools.product(design.federations, design.entries, design.budgets)
        for spec in _of_entry(design, federation, entry, budget, found)
    ]
    place = {federation.called: at for at, federation in enumerate(design.federations)}
    return sorted(runs, key=lambda spec: (spec.budget, design.seeds.index(spec.seed), place[spec.federation.called]))


def _of_entry(design: Design, federation: Federation, entry: Entry, budget: int, found: Found) -> Iterator[Spec]:
    points = entry.points()
    tuning = design.seeds[: design.tune_seeds] if len(points) > 1 else []
    tried = [_spec(design, federation, entry, point, seed, min(design.budgets)) for seed in tuning for point in points]
    if budget == min(design.budgets):
        yield from tried
    ended = [(spec, found(spec)) for spec in tried]
    if all(row is not None for _, row in ended):
        best = winner([row for _, row in ended if row]) if tried else points[0]
        if best is not None:
            runs = [_spec(design, federation, entry, best, seed, budget) for seed in design.seeds]
            yield from (spec for spec in runs if spec.key not in {one.key for one in tried})


def _spec(
    design: Design, federation: Federation, entry: Entry, point: Mapping[str, Any], seed: int, budget: int
) -> Spec:
    own = {name: value for name, value in point.items() if not name.startswith("fit.")}
    fit = {name.removeprefix("fit."): value for name, value in point.items() if name.startswith("fit.")}
    choices = {
        "scheme": entry.scheme,
        "arguments": {**entry.arguments, **own},
        "rounds": (entry.rounds or design.rounds) * budget + entry.extra_rounds,
        "seed": seed,
        "network": {**design.network, **entry.network},
        "fit": {**design.fit, **entry.fit, **fit},
        "evaluate_every": design.evaluate_every * budget,
    }
    return Spec(entry, point, federation, seed, budget, plan_of(choices, f"`{entry.called}`"), tuple(design.levels))


def read_designs(path: Path) -> list[tuple[str, Design]]:
    """The checked designs of a plan.yaml, each with the folder for its ledger below the comparison's.

    A plan is a design, whose folder is the comparison's own, or has one key, `plans`: by folder, paths of plans that
    share its ledger. All paths are relative to the plan that they stand in.
    """
    given = _read(path)
    if "plans" not in given:
        return [("", read_design(path))]
    try:
        found = _Plans.model_validate(given).plans
    except ValidationError as error:
        raise Refused(f"{path.name}: {sentences(error)}") from None
    return [(folder, read_design(path.parent / plan)) for folder, plans in found.items() for plan in plans]


class _Plans(BaseModel):
    """A plan of plans."""

    model_config = ConfigDict(extra="forbid")

    plans: dict[Annotated[str, Field(pattern=r"^\w[\w.-]*$")], Annotated[list[str], Field(min_length=1)]]


def read_design(path: Path) -> Design:
    """A checked plan.yaml; paths of site files in it are relative to it."""
    given = _read(path)
    there = [_found(federation, path.parent) for federation in given.get("federations") or []]
    return design_of(given | ({"federations": there} if there else {}), path.name)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise Refused(f"no plan at {path}: write one (see docs/compare.md) or correct the path")
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise Refused(f"{path.name} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(given, dict):
        raise Refused(f"{path.name}: wanted lines of `key: value` such as `seeds: 5`, got {type(given).__name__}")
    return given


def design_of(choices: Mapping[str, Any], whose: str) -> Design:
    """A checked design; every run's plan that can be known is checked too, before anything runs."""
    try:
        design = Design.model_validate(dict(choices))
    except ValidationError as error:
        raise Refused(f"{whose}: {sentences(error)}") from None
    for what, names in (
        ("federations", [federation.called for federation in design.federations]),
        ("schemes", [entry.called for entry in design.schemes]),
    ):
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise Refused(f"{whose}: two {what} are called {twice[0]!r}; give each a `name` of its own")
    tuned = [entry.called for entry in design.entries if len(entry.points()) > 1]
    for federation in design.federations:
        if tuned and not federation.has_validation:
            raise Refused(
                f"{whose}: `{tuned[0]}` has a grid, but {federation.called} has no validation fold to tune it on; "
                f"give it one (`split.valid` of its site file) or take the grid out"
            )
    for entry in design.entries:
        for point in entry.points():
            _spec(design, design.federations[0], entry, point, design.seeds[0], 1)
    return design


def _found(federation: Any, folder: Path) -> Any:
    """A federation as the plan states it, its site file found from the plan's folder."""
    if not isinstance(federation, dict) or not isinstance(federation.get("data"), str):
        return federation
    return federation | {"data": (folder / federation["data"]).resolve()}

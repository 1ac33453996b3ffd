"""What a comparison file states: schemes with arguments and small grids, seeds, federations, budgets."""

import itertools
from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny, model_validator

from brainct.compare.federation import Federation
from brainct.compare.federations import federation_of

BASELINE = "fedavg"
"""The scheme that all others are compared to."""

FIT = {"optimizer": "adamw", "rate": 0.003, "decay": "cosine", "epochs": 3}
"""Local training where the file does not state it."""


NETWORK = {"architecture": "densenet-small", "size": 64}
"""Head CT's network where the file does not state it."""


class Entry(BaseModel):
    """A row of the tables: a scheme and its choices.

    name: in the tables; default: the scheme's. grid: lists of values by argument, or by `fit.` and a choice of local
    training. All combinations run on the first `tune_seeds` seeds; the one with the best validation score (mean over
    sites and these seeds) runs on the others. rounds: at budget 1, instead of the comparison's. extra_rounds: rounds in
    which the scheme trains nothing, added to every budget. fit, network: override single keys of the comparison's.
    pooled: one site has all sites' training scans, and its model is evaluated at each site.
    start_from: a start model of the package; empty for none.
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
    start_from: str = ""

    @property
    def label(self) -> str:
        """Its name in the tables."""
        return self.name or self.scheme

    def points(self) -> list[dict[str, Any]]:
        """The grid's points; one empty point if nothing is tuned."""
        return [dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())]


ALWAYS = (
    Entry(scheme=BASELINE),
    Entry(name="pooled", scheme=BASELINE, pooled=True),
    Entry(name="alone", scheme="local"),
    Entry(scheme="finetune"),
)
"""Part of every comparison; a comparison file may state an entry of the same name instead."""


def _entries(value: Any) -> Any:
    return [{"scheme": each} if isinstance(each, str) else each for each in value] if isinstance(value, list) else value


def _seeds(value: Any) -> Any:
    return list(range(1, value + 1)) if isinstance(value, int) and not isinstance(value, bool) else value


class Comparison(BaseModel):
    """The content of a comparison file.

    workload: `ct` or `table`, the same for all its runs. federations: see compare.federations for each workload's own.
    schemes: names or entries. seeds: a list, or a number N for 1 to N. budgets: multiples of the rounds. rounds: at
    budget 1. fit: local training; an equal number of epochs a round is an equal number of gradient steps for all
    schemes, and pooled training then takes as many steps as all sites together. network: of head CT. choices: the
    workload's other choices, as in a job. evaluate_every: rounds between points of the validation curve. levels: of
    the score; each row states the first round that reached each of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schemes: Annotated[list[Entry], BeforeValidator(_entries)] = []
    seeds: Annotated[list[int], BeforeValidator(_seeds), Field(min_length=1)] = [1, 2, 3, 4, 5]
    tune_seeds: int = Field(3, ge=1)
    workload: str = "ct"
    federations: list[SerializeAsAny[Federation]] = Field(min_length=1)
    budgets: list[Annotated[int, Field(ge=1)]] = Field([1], min_length=1)
    rounds: int = Field(30, ge=1)
    network: dict[str, Any] = NETWORK
    choices: dict[str, Any] = {}
    fit: dict[str, Any] = FIT
    evaluate_every: int = Field(5, ge=0)
    levels: list[float] = [0.7, 0.8, 0.9]

    @model_validator(mode="before")
    @classmethod
    def _federations_of_the_workload(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        listed = given.get("federations", [{}])
        known = [federation_of(given.get("workload", "ct"), one) for one in listed] if isinstance(listed, list) else []
        return {**given, "federations": known or listed}

    def workload_choices(self, entry: Entry) -> dict[str, Any]:
        """The workload's part of a job for this entry, without local training."""
        if self.workload == "ct":
            return {"network": {**self.network, **entry.network}, **self.choices}
        return {"workload": self.workload, **self.choices, **({"network": entry.network} if entry.network else {})}

    @cached_property
    def entries(self) -> list[Entry]:
        """All entries: ALWAYS first, then the file's, each name once."""
        own = {entry.label: entry for entry in self.schemes}
        always = [own.pop(entry.label, entry) for entry in ALWAYS]
        return [*always, *own.values()]

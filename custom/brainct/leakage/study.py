"""What a study file states: variants of schemes, a pool of scans, and which half of it each federation trains on."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from brainct.compare.code_hash import code_of
from brainct.compare.comparison import FIT
from brainct.compare.simulated_sites import SimulatedFederation
from brainct.core.determinism import generator
from brainct.core.sentences import sentences
from brainct.errors import Refused
from brainct.job.config import Plan, plan_of
from brainct.security import policy

Members = dict[str, NDArray[np.bool_]]
"""By site, whether it trains on each scan of its pool."""

UNREADABLE = {"ridge": "sites send sums over features, not a model"}
"""Schemes whose reports these attacks can't read, and why."""


class Variant(BaseModel):
    """A scheme and its choices.

    name: in the tables; default: the scheme's. rounds: instead of the study's. fit: overrides single keys of the
    study's. policy: each site's privacy.json (see security.policy); {} for none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    scheme: str
    arguments: dict[str, Any] = {}
    rounds: int | None = Field(None, ge=1)
    fit: dict[str, Any] = {}
    policy: dict[str, Any] = {}

    @property
    def label(self) -> str:
        """Its name in the tables."""
        return self.name or self.scheme


def _variants(value: Any) -> Any:
    return [{"scheme": each} if isinstance(each, str) else each for each in value] if isinstance(value, list) else value


class Study(BaseModel):
    """The content of a study file.

    federation: its training scans are the pool. federations: N, shadow federations of each variant; each trains on a
    random half of every site's pool, the same halves for all variants. seed: of scans, halves and training. seeds:
    `same` gives all federations the first weights and order of batches of one job, as a server knows them; `own` gives
    each federation its own seed. policies: of the site agents on which crafted networks are tried.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schemes: Annotated[list[Variant], BeforeValidator(_variants), Field(min_length=1)]
    federation: SimulatedFederation = SimulatedFederation(sites=4, scans=14, valid=0, outside=0)
    federations: int = Field(16, ge=4)
    seed: int = Field(1, ge=0)
    seeds: Literal["same", "own"] = "same"
    rounds: int = Field(12, ge=1)
    network: dict[str, Any] = {"architecture": "cnn", "size": 64}
    fit: dict[str, Any] = FIT
    policies: dict[str, dict[str, Any]] = {"no policy": {}}


@dataclass(frozen=True)
class PlannedFederation:
    """One federation to train."""

    study: Study
    variant: Variant
    number: int
    plan: Plan

    @cached_property
    def key(self) -> str:
        """SHA-256 of all choices that determine the result."""
        whole = {
            "plan": self.plan.model_dump(mode="json", exclude_defaults=True) | {"arguments": self.plan.arguments},
            "federation": self.study.federation.digest,
            "policy": self.variant.policy,
            "seed": self.study.seed,
            "number": self.number,
        }
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()

    @cached_property
    def code(self) -> str:
        """SHA-256 of the modules that would compute it."""
        return code_of(self.plan, self.study.federation.data is not None)

    def __str__(self) -> str:
        return f"{self.variant.label}, federation {self.number + 1} of {self.study.federations}"


def planned_federations(study: Study) -> list[PlannedFederation]:
    """All federations; those of one number are neighbours, so that an interrupted study compares all variants."""
    return [
        PlannedFederation(study, variant, number, _plan(study, variant, number))
        for number in range(study.federations)
        for variant in study.schemes
    ]


def _plan(study: Study, variant: Variant, number: int) -> Plan:
    own = int(generator(study.seed, "leakage", "seed", number).integers(2**31))
    choices = {
        "scheme": variant.scheme,
        "arguments": variant.arguments,
        "rounds": variant.rounds or study.rounds,
        "seed": study.seed if study.seeds == "same" else own,
        "network": study.network,
        "fit": {**study.fit, **variant.fit},
        "evaluate_every": 0,
    }
    return plan_of(choices, f"`{variant.label}`")


def draw_halves(sizes: Mapping[str, int], seed: int, number: int) -> Members:
    """The random half of each site's pool on which a federation trains.

    The halves of two federations are independent, so that shadows carry no information on the attacked one.
    """
    found = {}
    for site, size in sorted(sizes.items()):
        chosen = generator(seed, "leakage", "half", number, site).permutation(size)[: size // 2]
        found[site] = np.isin(np.arange(size), chosen)
    return found


def read_study(path: Path) -> Study:
    """A checked study file; the path of a site file in it is relative to it."""
    if not path.is_file():
        raise Refused(f"no study file at {path}: write one (see docs/leakage.md) or correct the path")
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise Refused(f"{path.name} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(given, dict):
        raise Refused(
            f"{path.name}: wanted lines of `key: value` such as `federations: 16`, got {type(given).__name__}"
        )
    federation = given.get("federation")
    if isinstance(federation, dict) and isinstance(federation.get("data"), str):
        data = (path.parent / federation["data"]).resolve()
        given = given | {"federation": federation | {"data": data}}
    return study_of(given, path.name)


def study_of(choices: Mapping[str, Any], whose: str) -> Study:
    """A checked study; every variant's plan and policy is checked too. whose: the file's name, for errors."""
    try:
        study = Study.model_validate(dict(choices))
    except ValidationError as error:
        raise Refused(f"{whose}: {sentences(error)}") from None
    names = [variant.label for variant in study.schemes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise Refused(f"{whose}: two schemes are called {twice[0]!r}; give each its own `name`")
    if study.federation.scans < 4:
        raise Refused(f"{whose}: {study.federation.scans} scans a site; wanted at least 4, since a half trains")
    for variant in study.schemes:
        plan = _plan(study, variant, 0)
        if variant.scheme in UNREADABLE:
            raise Refused(f"{whose}: `{variant.scheme}` can't be attacked like this: {UNREADABLE[variant.scheme]}")
        if objection := policy.objection(policy.policy_of(variant.policy), plan.build()):
            raise Refused(f"{whose}: the policy of `{variant.label}`: {objection}; remove the policy or the scheme")
    return study

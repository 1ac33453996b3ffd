"""What is attacked: variants of schemes, one federation's pool of scans, and who trains on which half of it."""

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
"""For each site a bool of each scan of its pool: whether it was trained on."""

GRADIENTS = {
    "fedsgd": "sites send gradients, which the crafted-network attacks are for",
    "minibatch": "sites send gradients, which the crafted-network attacks are for",
    "ridge": "sites send sums over features, which are no model",
}
"""Schemes whose reports these attackers can't ask, and why."""


class Variant(BaseModel):
    """A scheme and what it is run with.

    name: in the tables; by default the scheme's. rounds, fit: in place of the study's, laid over it. policy: of each
    site's privacy.json, the keys of privacy.Policy; {} for none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    scheme: str
    arguments: dict[str, Any] = {}
    rounds: int | None = Field(None, ge=1)
    fit: dict[str, Any] = {}
    policy: dict[str, Any] = {}

    @property
    def called(self) -> str:
        """Its name in the tables."""
        return self.name or self.scheme


def _variants(value: Any) -> Any:
    return [{"scheme": each} if isinstance(each, str) else each for each in value] if isinstance(value, list) else value


class Study(BaseModel):
    """A measurement of leakage, as its plan.yaml states it.

    federation: whose training scans are the pool. federations: N, shadow federations of each variant; each trains with
    a random half of every site's pool, the same halves for all variants. seed: of scans, halves and training. seeds:
    `same` gives all federations the first weights and order of batches of one job, as a server knows them; `own` gives
    each federation a seed of its own. policies: of site agents that the crafted networks are tried at.
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
class Spec:
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
        return f"{self.variant.called}, federation {self.number + 1} of {self.study.federations}"


def wanted(study: Study) -> list[Spec]:
    """All federations, those of one number together, so that a study that is stopped early compares all variants."""
    return [
        Spec(study, variant, number, _plan(study, variant, number))
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
    return plan_of(choices, f"`{variant.called}`")


def halves(sizes: Mapping[str, int], seed: int, number: int) -> Members:
    """Who trains on which scans in a federation: of each site's pool a random half.

    The halves of two federations are independent, so that the others' say nothing of the one that is attacked.
    """
    found = {}
    for site, size in sorted(sizes.items()):
        chosen = generator(seed, "leakage", "half", number, site).permutation(size)[: size // 2]
        found[site] = np.isin(np.arange(size), chosen)
    return found


def read_study(path: Path) -> Study:
    """A checked plan.yaml; the path of a site file in it is relative to it."""
    if not path.is_file():
        raise Refused(f"no plan at {path}: write one (see docs/leakage.md) or correct the path")
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
    """A checked study; every variant's plan and policy is checked too, before anything runs."""
    try:
        study = Study.model_validate(dict(choices))
    except ValidationError as error:
        raise Refused(f"{whose}: {sentences(error)}") from None
    names = [variant.called for variant in study.schemes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise Refused(f"{whose}: two schemes are called {twice[0]!r}; give each a `name` of its own")
    if study.federation.scans < 4:
        raise Refused(f"{whose}: {study.federation.scans} scans a site; wanted at least 4, of which a half trains")
    for variant in study.schemes:
        plan = _plan(study, variant, 0)
        if variant.scheme in GRADIENTS:
            raise Refused(f"{whose}: `{variant.scheme}` can't be attacked like this: {GRADIENTS[variant.scheme]}")
        if said := policy.objection(policy.policy_of(variant.policy), plan.build()):
            raise Refused(f"{whose}: the policy of `{variant.called}`: {said}; take the policy or the scheme out")
    return study

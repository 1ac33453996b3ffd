"""The seam through which a kind of data and model enters: everything that the run itself does not know."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel

from brainct.core.disclosure import Row
from brainct.core.learner import Credentials, Learner, Model
from brainct.core.weights import Weights, check_weights
from brainct.errors import Declined, Refused

Reach = Callable[[Mapping[str, Any]], float]
"""How far a score moves when one held-out sample is exchanged for another of the same label, given the scores."""


@dataclass(frozen=True)
class Context:
    """What a learner is bound to: one site and one round of one run, and how the site has it train.

    seed, rounds: the run's. credentials: what only this site can draw, sign or recognise. private: how the site's
    policy has it train (see training.private), None for plain training. always: a sample for which a model gives no
    number counts with 0.5, since a failed evaluation would tell of that sample. shared: see Workload.shared.
    start: the weights before round 0 where the job starts from a model and the site has it; else None.
    """

    seed: int
    rounds: int
    site: str
    round: int
    credentials: Credentials
    private: Any = None
    always: bool = False
    shared: Mapping[str, Any] = field(default_factory=dict)
    start: Weights | None = None


@dataclass(frozen=True)
class PackagedModel:
    """A start model that the package brings: its safetensors file, its SHA-256, and in words what it was trained on."""

    file: Path
    sha256: str
    source: str


@dataclass(frozen=True)
class ScoreKeys:
    """What a site says of a model for each output: {output: {key: value}}.

    numbers: score -> how far one sample moves it, None where no useful bound is known, so that noise would hide it.
    details: counts and bins from which exact scores follow; they leave with exact scores alone. classes: counts of
    held-out samples, of each class or of all; a policy may withhold an output where one of them is small. rest:
    other keys.
    """

    numbers: Mapping[str, Reach | None]
    details: tuple[str, ...]
    classes: tuple[str, ...]
    rest: tuple[str, ...] = ("unlabelled", "reason")

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys of one output's scores."""
        return (*self.numbers, *self.details, *self.classes, *self.rest)


class Workload(ABC):
    """One kind of data with its models, such as head CT or a table; registered in job.workloads by one line.

    A workload overrides what has no default here, and of the rest what it needs; docs/add_a_workload.md has an example.

    name: in the job. offers: what schemes may need (see Scheme.needs): `network`, `images`, `samples`, `labels`,
    `public`. choices: the pydantic model of the workload's own keys in a job, which stand next to the run's keys.
    description, scores: pydantic models of what a site says of its data at the roll call (without what every site says)
    and of a model's quality, {"scores": {output: ...}}. disclosures, parts: the same as rows of the list of everything
    that leaves, and what the parts in braces stand for. score_keys: what a policy may round, noise or withhold.
    headlines: the few numbers by which models are compared, the first one first, each with its title.
    lower_is_better: the names of those headlines of which a lower number is better.
    start_models: by name, from which a job may start. imports: modules that training imports at its first step.
    """

    name: ClassVar[str]
    offers: ClassVar[frozenset[str]] = frozenset()
    choices: ClassVar[type[BaseModel]]
    description: ClassVar[type[BaseModel]]
    scores: ClassVar[type[BaseModel]]
    disclosures: ClassVar[tuple[Row, ...]]
    parts: ClassVar[Mapping[str, str]] = {}
    score_keys: ClassVar[ScoreKeys]
    headlines: ClassVar[Mapping[str, str]]
    lower_is_better: ClassVar[frozenset[str]] = frozenset()
    start_models: ClassVar[Mapping[str, PackagedModel]] = {}
    imports: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def outputs(self, choices: Any) -> tuple[str, ...]:
        """Names of a model's outputs, in their order."""

    @abstractmethod
    def initial(self, choices: Any, seed: int, rounds: int) -> Model:
        """The model before round 0, whose weights follow from the seed."""

    def warm_up(self, choices: Any) -> None:
        """Import what training imports, for processes that are forked afterwards: a network's library takes seconds."""
        for module in self.imports:
            importlib.import_module(module)
        self.initial(choices, seed=0, rounds=1)

    @abstractmethod
    def open(self, file: Path | None, site: str, sites: Sequence[str], choices: Any) -> Any:
        """The data of one site, as its site file says."""

    @abstractmethod
    def describe(self, data: Any, public: bool = False) -> dict[str, Any]:
        """What leaves the site at the roll call: counts and a fingerprint, as `description` says."""

    @abstractmethod
    def samples(self, description: Mapping[str, Any], fold: str) -> int:
        """How many samples a site has in a fold, 0 for none, by its description."""

    @abstractmethod
    def learner(self, choices: Any, data: Any, context: Context, prepared: Any) -> Learner:
        """The learner of one site in one round."""

    @abstractmethod
    def headline(self, scores: Mapping[str, Any]) -> Mapping[str, float | None]:
        """The numbers that `headlines` names, of a site's scores; None where there is none."""

    def missing(self, scores: Mapping[str, Any]) -> str | None:
        """Why a site's scores have no headline number; None where they have."""
        return None

    def network(self, choices: Any) -> tuple[str, Mapping[str, Any]]:
        """The architecture's name and all its options, by which a site's policy lists networks."""
        return self.name, {}

    def options(self, architecture: str) -> Mapping[str, Any]:
        """The options of an architecture with their defaults; none of an unknown one."""
        return {}

    def open_all(self, file: Path | None, sites: Sequence[str], choices: Any) -> Mapping[str, Any] | None:
        """The data of all sites of a simulation in which one data set is partitioned among them, each sample read once;
        None where each site opens its own."""
        return None

    def check(self, data: Any, choices: Any, site: str) -> None:  # noqa: B027  (by default all data fit)
        """Refuse data that do not fit the job's choices."""

    def check_public(self, data: Any) -> None:
        """Refuse data without the public set that the scheme needs."""
        raise Refused(f"workload {self.name} has no public set; choose a scheme that needs none")

    def description_of(self, choices: Any) -> type[BaseModel]:
        """`description` for these choices, which may allow fewer keys."""
        return self.description

    def scores_of(self, choices: Any) -> type[BaseModel]:
        """`scores` for these choices."""
        return self.scores

    def parts_of(self, choices: Any) -> Mapping[str, str]:
        """`parts` for these choices."""
        return self.parts

    def exclusive(self, choices: Any) -> bool:
        """Whether each sample belongs to one output alone, so that one output's count follows from the others'."""
        return False

    def without_small(self, description: Mapping[str, Any], least: int, choices: Any) -> dict[str, Any]:
        """The description without counts of a class that has fewer than `least` samples, or from which such follow."""
        raise Declined(f"its privacy policy has a least_class, and workload {self.name} can't withhold small counts")

    def shared(self, descriptions: Mapping[str, Mapping[str, Any]], choices: Any) -> dict[str, Any]:
        """What all descriptions together give to every site's learner, as plain data; {} for nothing."""
        return {}

    def unnoised(self, choices: Any) -> str:
        """What of training samples, besides counts, leaves without noise at the roll call; empty for nothing."""
        return ""

    def prepare(self, choices: Any, seed: int) -> Any:
        """What a site makes once for a job and all its rounds, such as the network into which weights are loaded."""
        return None

    def fits(self, weights: Weights, choices: Any) -> None:
        """Refuse a checkpoint that is not of the network that the choices name."""
        check_weights(weights, self.initial(choices, 0, 0).weights, f"the checkpoint, for workload {self.name}")

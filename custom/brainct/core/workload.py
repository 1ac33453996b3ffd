"""The seam through which a kind of data and model enters: everything that the run itself does not know."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from brainct.core.learner import Credentials, Learner, Model


@dataclass(frozen=True)
class Context:
    """What a learner is bound to: one site and one round of one run, and how the site has it train.

    seed, rounds: the run's. credentials: what only this site can say or draw. private: how the site's policy has it
    train (see training.private), None for plain training. always: a sample for which a model gives no number counts
    with 0.5, since a failed evaluation would tell of that sample.
    """

    seed: int
    rounds: int
    site: str
    round: int
    credentials: Credentials
    private: Any = None
    always: bool = False


class Workload(Protocol):
    """One kind of data with its models: head CT, a table.

    offers: what schemes may need (see Scheme.needs): `network`, `images`, `samples`, `labels`, `public`.
    choices: the pydantic model of the workload's own keys in a job; its fields stand beside the run's keys.
    description, scores: pydantic models of what a site may say of its data and of a model's quality.
    """

    name: str
    offers: frozenset[str]
    choices: type[BaseModel]
    description: type[BaseModel]
    scores: type[BaseModel]

    def initial(self, choices: Any, seed: int, rounds: int) -> Model:
        """The model before round 0, whose weights follow from the seed."""
        ...

    def networks(self) -> Sequence[str]:
        """The architectures that a site's policy may list."""
        ...

    def open(self, file: Path | None, site: str, sites: Sequence[str], choices: Any) -> Any:
        """The data of one site, as its site file says; Refused where they do not fit the choices."""
        ...

    def describe(self, data: Any, public: bool) -> dict[str, Any]:
        """What leaves the site at the roll call: counts and a fingerprint, as `description` says."""
        ...

    def learner(self, choices: Any, data: Any, context: Context) -> Learner:
        """The learner of one site in one round."""
        ...

    def headline(self, scores: Mapping[str, Any]) -> float | None:
        """The one number by which a model's scores are compared; None where they have none."""
        ...

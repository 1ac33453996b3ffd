"""A run's choices, as a job folder states them: read once, checked once, the same in all four ways to run."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from brainct.core import serialization
from brainct.core.scheme import Scheme
from brainct.core.sentences import sentences
from brainct.ct.augment import Augmentation
from brainct.ct.networks import NETWORKS
from brainct.errors import Refused
from brainct.schemes import build


def _augmentation(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    known = [field.name for field in fields(Augmentation)]
    if unknown := sorted(set(value) - set(known)):
        raise Refused(f"unknown {', '.join(map(repr, unknown))}; known are {', '.join(known)}")
    return Augmentation(**value)


def _architecture(value: str) -> str:
    if value not in NETWORKS:
        raise Refused(f"unknown network; known are {', '.join(sorted(NETWORKS))}")
    return value


LONGEST = 10**7
"""Seconds that a round may wait: a third of a year."""


class _Choices(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Network(_Choices):
    """The model: an architecture of ct.model.NETWORKS, the edge in pixels, the dimensions, the input channels."""

    architecture: Annotated[str, AfterValidator(_architecture)] = "densenet-small"
    size: int = Field(96, ge=16, le=1024)
    dims: Literal[2, 3] = 2
    channels: int = Field(3, ge=1, le=16)
    options: dict[str, Any] = {}


class Fit(_Choices):
    """Local training in one round.

    epochs: E, passes over the site's training scans; steps, if given, takes their place. rate: eta. decay: `cosine`
    lets the rate fall to 0 over the run's rounds. batch_size: null leaves it to the site. augment: see
    ct.augment.Augmentation; null for none. The optimiser starts anew in each round; its state never travels.
    """

    optimizer: Literal["sgd", "adam", "adamw"] = "adamw"
    rate: float = Field(0.003, gt=0)
    momentum: float = Field(0.0, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    decay: Literal["constant", "cosine"] = "constant"
    epochs: int = Field(1, ge=1, le=10**6)
    steps: int | None = Field(None, ge=1, le=10**9)
    batch_size: int | None = Field(None, ge=1, le=10**7)
    augment: Annotated[Augmentation | None, BeforeValidator(_augmentation)] = Augmentation()


class Plan(_Choices):
    """Everything that a run is made from, beside the sites and their scans.

    rounds: T. seed: everything random follows from it and the sites' names. evaluate_every: rounds between evaluations
    of the global model on the sites' validation folds, 0 for none; the test folds are evaluated once, at the end.
    quorum: least number of replies that closes a round; null leaves it to the scheme, and a round that asks one site of
    several may then close empty. deadline: seconds after which a round closes with the replies that came; grace:
    seconds that it waits at most for the others once the quorum is met, less for sites that are known to be quick: see
    inbox.Inbox.
    """

    scheme: str
    arguments: dict[str, Any] = {}
    rounds: int = Field(30, ge=1, le=10**6)
    seed: int = Field(1, ge=0, lt=2**64)
    network: Network = Network()
    fit: Fit = Fit()
    evaluate_every: int = Field(5, ge=0, le=10**6)
    quorum: int | None = Field(None, ge=1, le=10**6)
    deadline: float = Field(600.0, gt=0, le=LONGEST)
    grace: float = Field(60.0, ge=0, le=LONGEST)

    def build(self) -> Scheme:
        """The scheme that the plan names."""
        return build(self.scheme, self.arguments)

    def quorum_of(self, scheme: Scheme, asked: int, sites: int) -> int:
        """Least number of replies that may close a round in which so many of the federation's sites are asked."""
        if self.quorum is not None:
            return min(self.quorum, asked)
        return 0 if asked == 1 < sites else scheme.quorum(asked)

    def check_sites(self, sites: int) -> None:
        """Refuse a quorum that these sites could never reach."""
        if self.quorum is not None and self.quorum > sites:
            raise Refused(f"quorum is {self.quorum}, but the federation has {sites} sites; lower it or add sites")


def plan_of(choices: Mapping[str, Any], whose: str) -> Plan:
    """A checked plan with the scheme's arguments in full; one error, which `whose` starts, names every wrong choice."""
    try:
        plan = Plan.model_validate(dict(choices))
        plan = plan.model_copy(update={"arguments": dict(plan.build().arguments)})
        serialization.size([plan.arguments, plan.network.options])
        return plan
    except ValidationError as error:
        raise Refused(f"{whose}: {sentences(error)}") from None
    except Refused as error:
        raise Refused(f"{whose}: {error}") from None
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise Refused(f"{whose}: holds what no choice can be ({type(error).__name__}); render the job anew") from None

"""What a job chooses for head CT: the findings, the network, and local training with its augmentation."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from brainct.ct.augment import Augmentation
from brainct.ct.folds import FINDINGS, Finding
from brainct.ct.networks import NETWORKS
from brainct.ct.wanted import Wanted
from brainct.errors import Refused
from brainct.training import config


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


class Network(config.Choices):
    """The model: an architecture of ct.networks.NETWORKS, the edge in pixels, the dimensions, the input channels."""

    architecture: Annotated[str, AfterValidator(_architecture)] = "densenet-small"
    size: int = Field(96, ge=16, le=1024)
    dims: Literal[2, 3] = 2
    channels: int = Field(3, ge=1, le=16)
    options: dict[str, Any] = {}


class Fit(config.Fit):
    """Local training in one round; augment: see ct.augment.Augmentation, null for none."""

    augment: Annotated[Augmentation | None, BeforeValidator(_augmentation)] = Augmentation()


class CtChoices(config.Choices):
    """The part of a job's choices that is head CT's.

    findings: the model's outputs. single_choice: each scan has exactly one of them, so that their probabilities add up
    to 1; otherwise each is there or not.
    """

    findings: Annotated[tuple[Finding, ...], Field(min_length=1, max_length=100)] = FINDINGS
    single_choice: bool = False
    network: Network = Network()
    fit: Fit = Fit()

    @model_validator(mode="after")
    def _consistent(self) -> "CtChoices":
        if twice := sorted({name for name in self.findings if self.findings.count(name) > 1}):
            raise ValueError(f"findings names {', '.join(twice)} twice")
        if self.single_choice and (len(self.findings) < 2 or "any" in self.findings):
            raise ValueError("single_choice is for two findings or more that exclude each other, so not for `any`")
        return self

    @property
    def wanted(self) -> Wanted:
        """What the job wants of every scan."""
        return Wanted(self.findings, self.single_choice)


def ct_choices(plan: object) -> CtChoices:
    """The plan as head CT's choices, for tools that know head CT alone; Refused for a plan of another workload."""
    if not isinstance(plan, CtChoices):
        raise Refused(
            f"the job's workload is {getattr(plan, 'workload', 'unknown')}; this works for head CT (ct) alone"
        )
    return plan

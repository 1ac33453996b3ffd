"""What a job chooses for head CT: the network, and local training with its augmentation."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from brainct.ct import class_paths
from brainct.ct.augment import Augmentation
from brainct.ct.networks import NETWORKS
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
    if class_paths.is_path(value):
        class_paths.check_path(value)
    elif value not in NETWORKS:
        raise Refused(f"unknown network; known are {', '.join(sorted(NETWORKS))}, and class paths of a library")
    return value


class Network(config.Choices):
    """The model: an architecture, the edge in pixels, the dimensions, the input channels.

    architecture: of ct.networks.NETWORKS, or a class path such as monai.networks.nets.DenseNet121. options: those of
    the architecture; of a class path its further arguments, and `batch_norm`: see training.batch_norm.
    """

    architecture: Annotated[str, AfterValidator(_architecture)] = "densenet-small"
    size: int = Field(96, ge=16, le=1024)
    dims: Literal[2, 3] = 2
    channels: int = Field(3, ge=1, le=16)
    options: dict[str, Any] = {}


class Fit(config.Fit):
    """Local training in one round; augment: see ct.augment.Augmentation, null for none."""

    augment: Annotated[Augmentation | None, BeforeValidator(_augmentation)] = Augmentation()


class CtChoices(config.Choices):
    """The part of a job's choices that is head CT's."""

    network: Network = Network()
    fit: Fit = Fit()


def ct_choices(plan: object) -> CtChoices:
    """The plan as head CT's choices, for tools that know head CT alone; Refused for a plan of another workload."""
    if not isinstance(plan, CtChoices):
        raise Refused(
            f"the job's workload is {getattr(plan, 'workload', 'unknown')}; this works for head CT (ct) alone"
        )
    return plan

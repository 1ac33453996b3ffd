"""What a job chooses for head CT: the findings, the network, and local training with its augmentation."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from brainct.ct import class_paths
from brainct.ct.augment import Augmentation
from brainct.ct.folds import FINDINGS, Finding
from brainct.ct.networks import NETWORKS
from brainct.ct.transforms import Step
from brainct.ct.wanted import Pooling, Wanted
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


class Scan(config.Choices):
    """What a sample is, besides the network's size and dims.

    windows: (level, width) in HU of the channels, each width more than 0; null leaves them to the site files. fov_mm:
    side of what an image shows in mm, for scans whose pixel size is known; null leaves it to the site files.
    neighbours: k, so many slices on either side are further channels (2.5-D); the network then has 2 k + 1 times as
    many. transforms: of ct.transforms, in turn. study: how the slices' probabilities become one of the study, for
    scores of studies next to those of slices: the largest, the mean, or `noisy_or`, 1 - the product of 1 - p; null for
    no scores of studies.
    """

    windows: Annotated[tuple[tuple[float, float], ...], Field(min_length=1, max_length=16)] | None = None
    fov_mm: float | None = Field(None, ge=10, le=1000)
    neighbours: int = Field(0, ge=0, le=7)
    transforms: Annotated[tuple[Step, ...], Field(max_length=10)] = ()
    study: Pooling | None = None

    @model_validator(mode="after")
    def _wide(self) -> "Scan":
        if any(width <= 0 for _, width in self.windows or ()):
            raise ValueError("windows has a width of 0 HU or less; wanted [level, width] in HU")
        return self


class CtChoices(config.Choices):
    """The part of a job's choices that is head CT's.

    findings: the model's outputs. single_choice: each scan has exactly one of them, so that their probabilities add up
    to 1; otherwise each is there or not.
    """

    findings: Annotated[tuple[Finding, ...], Field(min_length=1, max_length=100)] = FINDINGS
    single_choice: bool = False
    network: Network = Network()
    scan: Scan = Scan()
    fit: Fit = Fit()

    @model_validator(mode="after")
    def _consistent(self) -> "CtChoices":
        if twice := sorted({name for name in self.findings if self.findings.count(name) > 1}):
            raise ValueError(f"findings names {', '.join(twice)} twice")
        if self.single_choice and (len(self.findings) < 2 or "any" in self.findings):
            raise ValueError("single_choice is for two findings or more that exclude each other, so not for `any`")
        if self.single_choice and self.scan.study:
            raise ValueError("scan.study is for findings that may be there together; with single_choice leave it null")
        self._check_shape()
        return self

    def _check_shape(self) -> None:
        deep, channels = 2 * self.scan.neighbours + 1, self.network.channels
        if self.network.dims == 3 and (self.scan.neighbours or self.scan.study):
            raise ValueError("a volume (dims 3) is a whole study; scan.neighbours and scan.study are for slices")
        if self.scan.windows and channels != deep * len(self.scan.windows):
            raise ValueError(
                f"network.channels is {channels}; {len(self.scan.windows)} windows of {deep} slices are "
                f"{deep * len(self.scan.windows)}"
            )
        if channels % deep:
            raise ValueError(f"network.channels is {channels}; of {deep} slices it must be a multiple of {deep}")

    @property
    def wanted(self) -> Wanted:
        """What the job wants of every scan."""
        scan = self.scan
        shown = scan.windows, scan.fov_mm, scan.neighbours, scan.transforms
        return Wanted(self.findings, self.single_choice, *shown)


def ct_choices(plan: object) -> CtChoices:
    """The plan as head CT's choices, for tools that know head CT alone; Refused for a plan of another workload."""
    if not isinstance(plan, CtChoices):
        raise Refused(
            f"the job's workload is {getattr(plan, 'workload', 'unknown')}; this works for head CT (ct) alone"
        )
    return plan

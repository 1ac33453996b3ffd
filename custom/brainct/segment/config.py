"""What a job chooses for segmentation: the findings, the network, the samples, and local training."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from brainct.ct import class_paths
from brainct.ct.config import Fit
from brainct.ct.folds import FINDINGS, Finding
from brainct.ct.wanted import Wanted
from brainct.errors import Refused
from brainct.segment.networks import NETWORKS
from brainct.training.config import Choices


def _architecture(value: str) -> str:
    if class_paths.is_path(value):
        class_paths.check_path(value)
    elif value not in NETWORKS:
        raise Refused(f"unknown network; known are {', '.join(sorted(NETWORKS))}, and class paths of a library")
    return value


class Network(Choices):
    """The model: an architecture of segment.networks.NETWORKS or a class path, edge in pixels, dimensions, channels.

    patch: edge of the squares or cubes on which the network works: it trains on random ones, and its answer for a
    whole image is put together from overlapping ones (sliding window); null works on whole images.
    """

    architecture: Annotated[str, AfterValidator(_architecture)] = "unet"
    size: int = Field(64, ge=16, le=1024)
    dims: Literal[2, 3] = 2
    channels: int = Field(3, ge=1, le=16)
    patch: int | None = Field(None, ge=16, le=1024)
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _consistent(self) -> "Network":
        if self.patch is not None and self.patch > self.size:
            raise ValueError(f"network.patch is {self.patch}; wanted at most the network's size, {self.size}")
        return self


class Image(Choices):
    """windows: (level, width) in HU of the channels; fov_mm: side of what an image shows; null: as the site says."""

    windows: Annotated[tuple[tuple[float, float], ...], Field(min_length=1, max_length=16)] | None = None
    fov_mm: float | None = Field(None, ge=10, le=1000)


class SegmentChoices(Choices):
    """The part of a job's choices that is segmentation's; findings: what has a mask, in the order of the outputs."""

    findings: Annotated[tuple[Finding, ...], Field(min_length=1, max_length=100)] = FINDINGS
    network: Network = Network()
    image: Image = Image()
    fit: Fit = Fit()

    @model_validator(mode="after")
    def _named_once(self) -> "SegmentChoices":
        if twice := sorted({name for name in self.findings if self.findings.count(name) > 1}):
            raise ValueError(f"findings names {', '.join(twice)} twice")
        return self

    @property
    def wanted(self) -> Wanted:
        """What the job wants of every scan."""
        return Wanted(self.findings, windows=self.image.windows, fov_mm=self.image.fov_mm)

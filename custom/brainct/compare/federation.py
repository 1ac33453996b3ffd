"""What every simulated federation of a comparison has, whatever its workload."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from brainct.core.names import site_names
from brainct.job.config import Plan
from brainct.training.data import Dataset

HELD_OUT_SITE = "outside"
"""The site that takes no part in training; the delivered model is evaluated on its samples."""

Opened = Mapping[str, Dataset]
"""Opened data by site."""


class Federation(BaseModel, ABC):
    """One federation whose sites are all on this machine. Every seed has other samples, or another partition of them.

    name: in the tables; default: its size and skew. sites: site-1 ... site-N. alpha: the concentration of the Dirichlet
    distributions behind a skew; a small one makes sites very unequal. batch_size: at each site.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    sites: int = Field(8, ge=1)
    alpha: float = Field(0.5, ge=0.001)
    batch_size: int = Field(8, ge=1)

    @property
    @abstractmethod
    def label(self) -> str:
        """Its name in the tables."""

    @property
    def names(self) -> list[str]:
        """The sites' names."""
        return site_names(self.sites)

    @property
    @abstractmethod
    def has_validation(self) -> bool:
        """Whether its sites have validation samples."""

    @property
    @abstractmethod
    def on_disk(self) -> bool:
        """Whether its samples come from files of scans."""

    @property
    @abstractmethod
    def work(self) -> int:
        """Training samples of all its sites, about."""

    @property
    @abstractmethod
    def digest(self) -> str:
        """SHA-256 of all that the samples depend on, besides seed and plan."""

    @abstractmethod
    def stated(self) -> dict[str, Any]:
        """All choices as a row of the ledger states them; `data`: which data set."""

    @abstractmethod
    def opened_for(self, plan: Plan) -> tuple[object, ...]:
        """What of a plan the opened samples depend on; runs that agree in it share them."""

    @abstractmethod
    def open(self, seed: int, plan: Plan) -> dict[str, Dataset]:
        """The samples of every site, and of HELD_OUT_SITE if there is one."""

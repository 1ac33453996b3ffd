"""What a job wants of every site's scans, besides their size."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from brainct.ct.folds import FINDINGS
from brainct.ct.transforms import Step

Windows = tuple[tuple[float, float], ...]
Pooling = Literal["max", "mean", "noisy_or"]


@dataclass(frozen=True)
class Wanted:
    """findings: the labels, in order. single: each scan has exactly one of them.

    windows: (level, width) in HU; None for those of the site file. fov_mm: side of what is shown; None for the site
    file's. neighbours: k, so many slices on either side are channels too. steps: further preprocessing, in turn.
    labelled: whether scans need labels and patients; those of a prediction do not.
    """

    findings: tuple[str, ...] = FINDINGS
    single: bool = False
    windows: Windows | None = None
    fov_mm: float | None = None
    neighbours: int = 0
    steps: tuple[Step, ...] = ()
    labelled: bool = True

    @property
    def slices(self) -> int:
        """Of how many slices a sample's channels are."""
        return 2 * self.neighbours + 1

    def windows_at(self, site: Sequence[tuple[float, float]]) -> Windows:
        """The job's windows, by default those of the site file."""
        return self.windows or tuple(site)

    def fov_at(self, site: float | None) -> float | None:
        """The job's field of view in mm, by default that of the site file."""
        return self.fov_mm or site


DEFAULT = Wanted()
"""The six findings, of which a scan may have several; everything else as the site file says."""

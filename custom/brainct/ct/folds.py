"""What every reader of scans delivers: windowed images with one label per finding.

The inputs of a fold are images (N, C, H, W) or (N, C, H, W, D), float32 in [0, 1], one channel a window; its labels are
(N, F) in the order of the job's findings. See training.data.
"""

import re
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator

FINDINGS = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any")
"""A job's findings where it names none: those of the RSNA 2019 challenge; `any` is the union of the five before it."""

FINDING = r"[A-Za-z0-9]([A-Za-z0-9_ +-]{0,38}[A-Za-z0-9_+-])?"
"""The pattern of a finding's name: 1 to 40 letters, digits, spaces and + - _."""

STUDY = "study "
"""Before a finding: the same of a whole study."""

WINDOWS = ((40.0, 80.0), (80.0, 200.0), (40.0, 380.0))
"""Level and width in HU of the three channels: brain, subdural, soft tissue."""


def finding_name(name: str) -> str:
    """The name itself; ValueError for one that can't be a finding's."""
    if not re.fullmatch(FINDING, name) or name == "all" or name.startswith(STUDY):
        raise ValueError("wanted 1 to 40 letters, digits, spaces and + - _, neither `all` nor beginning with `study `")
    return name


Finding = Annotated[str, AfterValidator(finding_name)]


def main_finding(findings: Sequence[str]) -> str | None:
    """`any` where it is among the findings: the one by which models are compared and scans split; else None."""
    return "any" if "any" in findings else None


def strata(labels: NDArray[np.float32], findings: Sequence[str], single: bool = False) -> NDArray[np.float32]:
    """(N,) 0, 1 or NaN by which folds are balanced: `any`, or else whether a scan has one of the findings.

    single: of several classes, of which each scan has one: whether it is the first.
    """
    if main_finding(findings) is not None or single:
        return labels[:, findings.index("any") if "any" in findings else 0]
    positive, decided = (labels == 1).any(1), ~np.isnan(labels).any(1)
    return np.where(positive, 1.0, np.where(decided, 0.0, np.nan)).astype(np.float32)

"""Labels of RSNA's six findings, and of others that a published set knows, in the words of a job."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainct.ct.folds import FINDINGS
from brainct.ct.wanted import Wanted

NONE = "no bleeding"
"""The finding of a scan that has none of the five kinds."""


def labels_for(job: Wanted, rsna: NDArray[Any], more: Mapping[str, NDArray[Any]] | None = None) -> NDArray[np.float32]:
    """(N, F) labels of the job's findings from (N, 6) in the order of FINDINGS; NaN for findings that are not known.

    more: (N,) labels of other findings.

    In a single-choice job a scan with two kinds of bleeding has no label: it is not of one class.
    """
    known = {**(more or {}), **dict(zip(FINDINGS, rsna.T, strict=True)), NONE: 1 - rsna[:, FINDINGS.index("any")]}
    columns = [known.get(name, np.full(len(rsna), np.nan)) for name in job.findings]
    labels = np.stack(columns, 1).astype(np.float32)
    if job.single:
        labels[(labels == 1).sum(1) > 1] = np.nan
    return labels

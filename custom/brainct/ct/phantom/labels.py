"""The phantom's labels in the words of a job: what it draws is known, of any other finding nothing is."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainct.ct.folds import FINDINGS
from brainct.ct.wanted import Wanted

NONE = "no bleeding"
"""The finding that a phantom scan has where it has none of the five kinds."""


def labels_for(job: Wanted, drawn: NDArray[Any]) -> NDArray[np.float32]:
    """(N, F) labels of the job's findings from the (N, 6) drawn ones; NaN for findings that the phantom doesn't draw.

    In a single-choice job a scan with two kinds of bleeding has no label: it is not of one class.
    """
    known = {**dict(zip(FINDINGS, drawn.T, strict=True)), NONE: 1 - drawn[:, FINDINGS.index("any")]}
    columns = [known.get(name, np.full(len(drawn), np.nan)) for name in job.findings]
    labels = np.stack(columns, 1).astype(np.float32)
    if job.single:
        labels[(labels == 1).sum(1) > 1] = np.nan
    return labels

"""What a job wants of every site's scans, besides their size."""

from dataclasses import dataclass

from brainct.ct.folds import FINDINGS


@dataclass(frozen=True)
class Wanted:
    """findings: the labels, in order. single: each scan has exactly one of them."""

    findings: tuple[str, ...] = FINDINGS
    single: bool = False


DEFAULT = Wanted()
"""The six findings, of which a scan may have several."""

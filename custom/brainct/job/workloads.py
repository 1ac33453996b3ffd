"""The one registry of workloads: a line each."""

from functools import cache
from importlib import import_module
from typing import Any

from brainct.core.workload import Workload
from brainct.errors import Refused, shown

WORKLOADS = {
    "causal": "brainct.causal.workload.CAUSAL",
    "ct": "brainct.ct.workload.CT",
    "segment": "brainct.segment.workload.SEGMENT",
    "table": "brainct.table.workload.TABLE",
}
"""Name in a job -> where its Workload is; imported when a job first names it."""


def workload_named(name: Any) -> Workload:
    """The workload that a job names; Refused where nobody registered it."""
    if not isinstance(name, str) or name not in WORKLOADS:
        raise Refused(f"unknown workload {shown(name, 80)}; known are {', '.join(sorted(WORKLOADS))}")
    return _imported(WORKLOADS[name])


@cache
def _imported(path: str) -> Workload:
    module, _, name = path.rpartition(".")
    found: Workload = getattr(import_module(module), name)
    return found

"""The kinds of simulated federations, one for each workload that can be compared."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from brainct.compare.federation import Federation
from brainct.compare.simulated_sites import SimulatedFederation
from brainct.compare.table_sites import TableFederation
from brainct.errors import Refused

FEDERATIONS: Mapping[str, type[Federation]] = MappingProxyType({"ct": SimulatedFederation, "table": TableFederation})
"""By the workload's name in the job."""


def federation_of(workload: Any, given: Any) -> Federation:
    """The checked federation that a comparison file states; an opened one stays as it is."""
    kind = FEDERATIONS.get(workload) if isinstance(workload, str) else None
    if kind is None:
        raise Refused(f"workload: got {workload!r}, wanted {' or '.join(FEDERATIONS)}, which `brainct compare` can do")
    return given if isinstance(given, kind) else kind.model_validate(given)

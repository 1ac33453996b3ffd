"""The job's choices of the last request, parsed: a run's requests all have the same."""

from collections.abc import Mapping
from typing import Any

from brainct.core.scheme import Scheme
from brainct.errors import Declined, Refused
from brainct.job.config import Plan, plan_of


class KnownPlan:
    """Parses choices into a plan and its scheme, once as long as they stay the same. whose: for what is wrong."""

    def __init__(self, whose: str):
        self._whose = whose
        self._last: tuple[Mapping[str, Any], Plan, Scheme] | None = None

    def of(self, choices: Mapping[str, Any]) -> tuple[Plan, Scheme]:
        """The plan and its scheme; Declined where the choices are no plan."""
        if self._last is None or (self._last[0] is not choices and self._last[0] != choices):
            try:
                plan = plan_of(choices, self._whose)
            except Refused as error:
                raise Declined(str(error)) from None
            self._last = (choices, plan, plan.build())
        return self._last[1:]

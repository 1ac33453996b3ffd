"""Fixes a race in FLARE 2.9's simulator, in the process that starts the sites."""

import sys
import threading
import time
from typing import Any

RUNNER = "nvflare.private.fed.app.simulator.simulator_runner"


def patch_simulator() -> None:
    """Give each thread that starts a site its own context; does nothing without a simulator in this process."""
    if module := sys.modules.get(RUNNER):
        module.SimulatorClientRunner.build_ctx = OwnContext()


class OwnContext:
    """A copy for each thread of the attribute `build_ctx`, which all threads of FLARE's client runner share.

    A thread writes its site's name into it and sends it to the site's process. If two processes start at the same
    moment, as on a busy machine, both can receive one name: one site runs twice, the other never, and the roll call
    waits for it.
    """

    def __init__(self) -> None:
        self._own = threading.local()

    def __get__(self, runner: Any, kind: type | None = None) -> Any:
        contexts: dict[int, dict[str, Any]] = self._own.__dict__.setdefault("contexts", {})
        return contexts.setdefault(id(runner), dict(runner.__dict__["build_ctx"]))

    def __set__(self, runner: Any, context: dict[str, Any]) -> None:
        runner.__dict__["build_ctx"] = context


class ShortNaps:
    """The module `time`, whose sleeps FLARE's simulator uses only to look again: none is longer than LONGEST."""

    LONGEST = 0.05

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        """Sleep so many seconds, at most LONGEST."""
        time.sleep(min(seconds, self.LONGEST))

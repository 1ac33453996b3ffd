"""What FLARE 2.9's simulator gets wrong, put right in the process in which it starts the sites."""

import sys
import threading
from typing import Any

RUNNER = "nvflare.private.fed.app.simulator.simulator_runner"


def mend() -> None:
    """Give each thread that starts a site a context of its own; nothing where no simulator runs in this process."""
    if module := sys.modules.get(RUNNER):
        module.SimulatorClientRunner.build_ctx = OwnContext()


class OwnContext:
    """In place of the attribute `build_ctx`, which all threads of FLARE's client runner share, a copy for each thread.

    A thread writes its site's name into it and sends it to the site's process. Where two processes come up in the same
    moment, as on a busy machine, both could be sent one name: one site ran twice, the other never, and the roll call
    waited for it.
    """

    def __init__(self) -> None:
        self._own = threading.local()

    def __get__(self, runner: Any, kind: type | None = None) -> Any:
        contexts: dict[int, dict[str, Any]] = self._own.__dict__.setdefault("contexts", {})
        return contexts.setdefault(id(runner), dict(runner.__dict__["build_ctx"]))

    def __set__(self, runner: Any, context: dict[str, Any]) -> None:
        runner.__dict__["build_ctx"] = context

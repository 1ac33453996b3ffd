"""Fixes for FLARE 2.9's simulator, in the process that starts the sites: two races, long sleeps, and Ctrl-C."""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

RUNNER = "nvflare.private.fed.app.simulator.simulator_runner"
DEPLOYER = "nvflare.private.fed.app.deployer.simulator_deployer"
STOPPED = 130
"""Exit code after Ctrl-C."""


def patch_simulator() -> None:
    """Fix the races and the sleeps; does nothing without a simulator in this process."""
    if module := sys.modules.get(RUNNER):
        module.SimulatorClientRunner.build_ctx = OwnContext()
        module.__dict__["time"] = ShortNaps()
        module.__dict__["get_open_ports"] = open_ports


def open_ports(number: int) -> list[int]:
    """So many free ports of this machine, at which nothing has listened.

    FLARE's own function listens at each for a moment. A process that another thread forks in that moment listens there
    too until its program starts; the site's thread then connects to that process in place of the site's, the connection
    ends at once, and the run waits for a site that is lost.
    """
    bound = [socket.socket() for _ in range(number)]
    for one in bound:
        one.bind(("", 0))
    ports = [int(one.getsockname()[1]) for one in bound]
    for one in bound:
        one.close()
    return ports


def say_at_interrupt(left_over: Callable[[], str]) -> None:
    """On Ctrl-C in FLARE's own command, print this line in place of a traceback; FLARE kills this process meanwhile."""
    if RUNNER not in sys.modules:
        return
    deployer = sys.modules[DEPLOYER].SimulatorDeployer
    real = deployer.close

    def close(self: Any) -> None:
        if isinstance(sys.exc_info()[1], KeyboardInterrupt):
            print(f"\n{left_over()}", file=sys.stderr, flush=True)
            os._exit(STOPPED)
        real(self)

    deployer.close = close


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


class NoWait:
    """An attribute that stays 0: seconds in which a site waits at its end for events from other sites, none of which
    brainct sends."""

    def __get__(self, runner: Any, kind: type | None = None) -> float:
        return 0.0

    def __set__(self, runner: Any, seconds: float) -> None:
        pass

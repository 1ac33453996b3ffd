"""A process in which sites train: it restarts when it dies, its request is repeated once; it ends with its parent."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from brainct.core import serialization
from brainct.job.config import Plan
from brainct.protocol.agent import Agent
from brainct.security.policy_file import filtered
from brainct.site.agent import SiteAgent
from brainct.site.data import Opener, SharedOpener
from brainct.site.learners import Prepared, Starter
from brainct.site.redaction import LOG, Redaction

Log = Callable[[str], None]
PERIOD = 0.2
"""Seconds between two looks at whether to stop."""


class Worker:
    """One process that holds the agents of some sites and has one request at a time.

    client_state, site_file, redact, opener, startup, privacy, start: see agent.SiteAgent; by default a data set that is
    partitioned among sites is opened once. log: gets a line when the process was started again. Requests and replies
    cross as plain data. A reply follows from the request and from the client state on disk, so a request that is
    repeated in a fresh process has the same reply. A request that ends its process twice is replied to by an error.
    """

    def __init__(
        self,
        sites: Sequence[str],
        client_state: Path,
        site_file: Path | None,
        log: Log,
        *,
        redact: bool,
        context: BaseContext,
        opener: Opener | None = None,
        startup: Path | None = None,
        privacy: Path | None = None,
        start: Starter | None = None,
    ):
        self.sites, self._log, self._context = list(sites), log, context
        self._settings = (redact, self.sites, client_state, site_file, redact, opener, startup, privacy, start)
        self._request: tuple[str, bytes] | None = None
        self._repeated = False
        self._start()

    @property
    def busy(self) -> bool:
        """Whether a request is out."""
        return self._request is not None

    def send(self, site: str, content: bytes) -> None:
        """Give a packed request to a worker that is not busy."""
        self._request, self._repeated = (site, content), False
        self._post()

    def receive(self) -> tuple[str, dict[str, Any]] | None:
        """The site and its reply, waited for; None when the request had to be repeated."""
        assert self._request is not None
        site = self._request[0]
        try:
            message = serialization.unpack(self.pipe.recv_bytes(), f"the worker's reply for {site}")
        except (EOFError, OSError):
            return self._restart(site)
        self._request = None
        for level, line in message["log"]:
            logging.getLogger(LOG).log(level, line)
        return site, message["reply"]

    def ask(self, site: str, value: Mapping[str, Any], stopped: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        """Give a request, as plain data, and wait for its reply; once `stopped` says so, end the process instead."""
        self.send(site, serialization.pack(value))
        while not stopped():
            if self.pipe.poll(PERIOD) and (message := self.receive()):
                return message[1]
        self.close()
        return {"error": f"{site} was stopped by the server"}

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self.pipe.close()

    def _restart(self, site: str) -> tuple[str, dict[str, Any]] | None:
        self._process.join()
        died = f"the worker process {self._process.pid} of {site} {cause(self._process.exitcode)}"
        self.pipe.close()
        self._start()
        if self._repeated:
            self._request = None
            failure = Redaction(site, self._settings[0]).failure(f"{died}, twice in this exchange")
            return site, {"error": failure.reason}
        self._repeated = True
        self._log(f"{died}; it is started again and its request repeated, the result stays the same")
        self._post()
        return None

    def _post(self) -> None:
        assert self._request is not None
        site, content = self._request
        with suppress(OSError):  # it died before it had read the request; `receive` finds that out
            self.pipe.send_bytes(site.encode())
            self.pipe.send_bytes(content)

    def _start(self) -> None:
        self.pipe, there = self._context.Pipe()
        self._process = self._context.Process(target=_work, args=(there, self.pipe, *self._settings), daemon=True)  # type: ignore[attr-defined]
        with _without_program(self._settings[5]):
            self._process.start()
        there.close()


@contextmanager
def _without_program(opener: Opener | None) -> Iterator[None]:
    """A spawned process imports its parent's program first: all of FLARE, for nothing but an opener of that program."""
    program = sys.modules["__main__"]
    if opener is None:
        sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


def context(forked_for: Plan | None) -> BaseContext:
    """How to start workers: forked ones have at once what their plan makes this process import, but neither CUDA nor a
    parent's threads survive a fork; without a plan they start anew."""
    forkable = "fork" in multiprocessing.get_all_start_methods() and not torch.cuda.is_available()
    if forked_for is None or not forkable:
        return multiprocessing.get_context("spawn")
    forked_for.kind.warm_up(forked_for)
    return multiprocessing.get_context("fork")


def agents(
    sites: Sequence[str],
    client_state: Path,
    site_file: Path | None,
    redact: bool,
    opener: Opener | None = None,
    startup: Path | None = None,
    privacy: Path | None = None,
    start: Starter | None = None,
) -> dict[str, SiteAgent]:
    """An agent for each site, with one network among them; by default a data set that is partitioned among several of
    them is opened once."""
    opener, prepared = opener or SharedOpener(), Prepared()
    named = (client_state, site_file, opener, redact, startup, privacy)
    return {site: SiteAgent(site, *named, prepared=prepared, start=start) for site in sites}


def behind_policy(rehearsed: Mapping[str, SiteAgent]) -> Mapping[str, Agent]:
    """Rehearsed agents whose replies leave as the privacy policy that BRAINCT_PRIVACY names allows; a real site's go
    through FLARE's filters."""
    return {site: filtered(agent, site) for site, agent in rehearsed.items()}


def _work(pipe: Connection, parents: Connection, redact: bool, *settings: Any) -> None:
    """A worker's life: reply to requests until the pipe is closed, or the parent ends in the middle of one."""
    parents.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    lines = _Lines()
    logging.getLogger(LOG).handlers, logging.getLogger(LOG).propagate = [lines], False
    mine = agents(*settings) if redact else behind_policy(agents(*settings))
    while True:
        try:
            site = pipe.recv_bytes().decode()
            value = serialization.unpack(pipe.recv_bytes())
        except EOFError:
            return
        reply = mine[site].reply_plain(value)
        pipe.send_bytes(serialization.pack({"reply": reply, "log": lines.drain()}))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


class _Lines(logging.Handler):
    """The log lines of an agent, which the parent logs."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append((record.levelno, record.getMessage()))

    def drain(self) -> list[tuple[int, str]]:
        """The lines since the last call."""
        lines, self._lines = self._lines, []
        return lines


def cause(exitcode: int | None) -> str:
    """How a process ended, in words that follow its name."""
    if exitcode is not None and exitcode < 0:
        return f"was killed by signal {-exitcode} ({signal.Signals(-exitcode).name})"
    return f"ended with exit code {exitcode}"

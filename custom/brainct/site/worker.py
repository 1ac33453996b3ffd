"""A process in which sites train: started again when it dies, its order repeated once; gone when its parent is."""

import importlib
import json
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import torch

from brainct.core import serialization
from brainct.errors import failed
from brainct.job.config import Plan
from brainct.security.reply_filter import Answers, filtered
from brainct.site.agent import LOG, Opener, SiteAgent, open_data

Order = Mapping[str, Any]
Log = Callable[[str], None]
PERIOD = 0.2
"""Seconds between two looks at whether to stop."""
WARM = ("sklearn.metrics", "tensorboard.summary", "torch._dynamo", "monai.networks.nets", "monai.transforms")
"""What each process that trains would import for itself, two seconds; a forked one has what its parent has."""


class Worker:
    """One process that holds the desks of some sites and has one order at a time.

    keep, site_file, discreet, opener, startup, privacy: see agent.SiteAgent; by default a data set that is dealt out is
    opened once. tell: gets a line when the process was started again. Orders and answers cross as plain data. An
    order's answer follows from the order and from what the site kept on disk, so an order that is repeated in a fresh
    process has the same answer. An order that ends its process twice is answered by an error.
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
    ):
        self.sites, self._tell, self._context = list(sites), log, context
        self._about = (redact, self.sites, client_state, site_file, redact, opener, startup, privacy)
        self._order: tuple[str, bytes] | None = None
        self._repeated = False
        self._start()

    @property
    def busy(self) -> bool:
        """Whether an order is out."""
        return self._order is not None

    def send(self, site: str, order: Order) -> None:
        """Give an order to a worker that is not busy."""
        self._order, self._repeated = (site, serialization.pack({"site": site, "order": order})), False
        self._post()

    def receive(self) -> tuple[str, dict[str, Any]] | None:
        """The site and its answer, waited for; None when the order had to be repeated."""
        assert self._order is not None
        site = self._order[0]
        try:
            said = serialization.unpack(self.pipe.recv_bytes(), f"the worker's answer for {site}")
        except (EOFError, OSError):
            return self._died(site)
        self._order = None
        for level, line in said["log"]:
            logging.getLogger(LOG).log(level, line)
        return site, said["answer"]

    def ask(self, site: str, order: Order, stopped: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        """Give an order and wait for its answer; once `stopped` says so, end the process instead."""
        self.send(site, order)
        while not stopped():
            if self.pipe.poll(PERIOD) and (said := self.receive()):
                return said[1]
        self.close()
        return {"error": f"{site} was told to stop"}

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self.pipe.close()

    def _died(self, site: str) -> tuple[str, dict[str, Any]] | None:
        self._process.join()
        died = f"the worker process {self._process.pid} of {site} {cause(self._process.exitcode)}"
        self.pipe.close()
        self._start()
        if self._repeated:
            self._order = None
            return site, {"error": self._failed(site, f"{died}, twice in this exchange")}
        self._repeated = True
        self._tell(f"{died}; started again, the order is repeated and the result stays the same")
        self._post()
        return None

    def _failed(self, site: str, details: str) -> str:
        """How a process ended may follow from the scans; at a real site its log alone says it, as of other failures."""
        if not self._about[0]:
            return details
        logging.getLogger(LOG).error(details)
        return failed(site)

    def _post(self) -> None:
        assert self._order is not None
        with suppress(OSError):  # it died before it had read the order; `receive` finds that out
            self.pipe.send_bytes(self._order[1])

    def _start(self) -> None:
        self.pipe, there = self._context.Pipe()
        self._process = self._context.Process(target=_work, args=(there, self.pipe, *self._about), daemon=True)  # type: ignore[attr-defined]
        self._process.start()
        there.close()


def context(threads: bool) -> BaseContext:
    """How to start workers: forked ones are there at once, but neither CUDA nor a parent's threads survive a fork."""
    forkable = "fork" in multiprocessing.get_all_start_methods() and not threads and not torch.cuda.is_available()
    if forkable:
        for module in WARM:
            importlib.import_module(module)
    return multiprocessing.get_context("fork" if forkable else "spawn")


def agents(
    sites: Sequence[str],
    client_state: Path,
    site_file: Path | None,
    redact: bool,
    opener: Opener | None = None,
    startup: Path | None = None,
    privacy: Path | None = None,
) -> dict[str, SiteAgent]:
    """A desk for each site; by default a data set that is dealt out to several of them is opened once."""
    opener = opener or _Opened()
    return {site: SiteAgent(site, client_state, site_file, opener, redact, startup, privacy) for site in sites}


def behind_policy(rehearsed: Mapping[str, SiteAgent]) -> Mapping[str, Answers]:
    """Rehearsed desks whose answers leave as the privacy policy that BRAINCT_PRIVACY names allows; a real site's go
    through FLARE's filters."""
    return {site: filtered(agent, site) for site, agent in rehearsed.items()}


def _work(pipe: Connection, parents: Connection, redact: bool, *about: Any) -> None:
    """A worker's life: answer orders until the pipe is closed, or the parent is gone in the middle of one."""
    parents.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    lines = _Lines()
    logging.getLogger(LOG).handlers, logging.getLogger(LOG).propagate = [lines], False
    mine = agents(*about) if redact else behind_policy(agents(*about))
    while True:
        try:
            request = serialization.unpack(pipe.recv_bytes())
        except EOFError:
            return
        answer = mine[request["site"]].answer(request["order"])
        pipe.send_bytes(serialization.pack({"answer": answer, "log": lines.taken()}))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


class _Lines(logging.Handler):
    """What a desk says to its site's people, to be said by the parent."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append((record.levelno, record.getMessage()))

    def taken(self) -> list[tuple[int, str]]:
        """The lines since the last call."""
        lines, self._lines = self._lines, []
        return lines


class _Opened:
    """Opens a data set that is partitioned among several sites of one process once, not once for each."""

    def __init__(self) -> None:
        self._key: str | None = None
        self._found: Mapping[str, Any] | None = None

    def __call__(self, file: Path | None, site: str, sites: Sequence[str], plan: Plan) -> Any:
        key = json.dumps([list(sites), plan.workload, plan.model_dump(include=set(plan.kind.choices.model_fields))])
        if key != self._key:
            self._key, self._found = key, plan.kind.open_all(file, sites, plan)
        return open_data(file, site, sites, plan) if self._found is None else self._found[site]


def cause(exitcode: int | None) -> str:
    """How a process ended, in words that follow its name."""
    if exitcode is not None and exitcode < 0:
        return f"was killed by signal {-exitcode} ({signal.Signals(-exitcode).name})"
    return f"ended with exit code {exitcode}"

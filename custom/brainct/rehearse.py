"""The same job folder in one process, or in worker processes: same scheme, same learner, same record, no FLARE."""

import multiprocessing
import multiprocessing.connection
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from brainct import plain
from brainct.ct.dataset import open_site, open_sites
from brainct.ct.scans import Dataset
from brainct.ct.sitefile import SiteFile
from brainct.desk import Desk, Opener, site_file_of
from brainct.errors import Refused
from brainct.guard import Answers, guarded
from brainct.inbox import Inbox
from brainct.plan import Plan
from brainct.record import Record
from brainct.rounds import Carrier, Order, Run
from brainct.weights import Weights

Tell = Callable[[str], None]


def rehearse(
    plan: Plan,
    sites: Sequence[str],
    folder: Path,
    *,
    workers: int = 1,
    initial: Weights | None = None,
    lose: Collection[tuple[str, int]] = (),
    secret: str = "",
    opener: Opener | None = None,
    tell: Tell = print,
    closed: Callable[[Mapping[str, Any]], None] = lambda row: None,
) -> Record:
    """Run a plan over these sites and return its record; results go to `folder`, which must be new or empty.

    workers: processes to train in, >= 1; one means this process. lose: (site, round) pairs whose reply is lost on
    purpose. opener: opens each site's scans, as ct.dataset.open_site does; by default as BRAINCT_SITE says. tell: gets
    the lines that a user should read; closed: gets each closed round's row.
    """
    if workers < 1:
        raise Refused(f"--workers is {workers}; wanted at least 1")
    unknown = sorted({site for site, _ in lose} - set(sites))
    if unknown:
        raise Refused(f"--lose names {', '.join(unknown)}; the sites are {', '.join(sites)}")
    torch.set_num_threads(1)
    plan.check_sites(len(sites))
    record = Record(folder, plan, plan.build(), "rehearse")
    keep = folder / "state" / "keep"
    opened = opener or _Opened()
    many = min(workers, len(sites))
    carry = Here(sites, keep, opened) if workers == 1 else Workers(sites, keep, opened, many, tell)
    try:
        Run(plan, sites, _Losing(carry, set(lose)), record, initial=initial, secret=secret, tell=tell, closed=closed)()
    finally:
        if isinstance(carry, Workers):
            carry.close()
    return record


def site_names(count: int) -> list[str]:
    """site-1 ... site-N, the names that FLARE's simulator gives; names are part of every seed."""
    if count < 1:
        raise Refused(f"--sites is {count}; wanted at least 1")
    return [f"site-{number}" for number in range(1, count + 1)]


@dataclass
class _Losing:
    """A carrier that leaves out orders lost on purpose."""

    carry: Carrier
    lost: set[tuple[str, int]]

    def __call__(self, orders: Mapping[str, Order], inbox: Inbox[Any]) -> None:
        gone = {
            site for site, order in orders.items() if order["what"] == "reply" and (site, order["round"]) in self.lost
        }
        for site in gone:
            inbox.lose(site, "lost on purpose by --lose")
        self.carry({site: order for site, order in orders.items() if site not in gone}, inbox)


class Here:
    """Carries orders to desks in this process, one after the other."""

    def __init__(self, sites: Sequence[str], keep: Path, opener: Opener):
        self._desks = _desks(sites, keep, opener)

    def __call__(self, orders: Mapping[str, Order], inbox: Inbox[Any]) -> None:
        for site in sorted(orders):
            inbox.accept(site, self._desks[site].answer(orders[site]))


@dataclass
class _Worker:
    """One worker process, the sites that live in it, and the site whose order it has now."""

    sites: list[str]
    process: BaseProcess
    pipe: Connection
    waiting: list[str] = field(default_factory=list)
    busy: str | None = None


class Workers:
    """Carries orders to worker processes; a site stays with its worker, so that its scans are opened once.

    A worker that dies is started again and given its order once more: an order's answer follows from the order and from
    what the site kept on disk, so the result is the same. A site whose order kills its worker twice is lost.
    """

    def __init__(self, sites: Sequence[str], keep: Path, opener: Opener, count: int, tell: Tell):
        self._keep, self._opener, self._tell, self._context = keep, opener, tell, context()
        self._workers = [self._start(sorted(sites)[index::count]) for index in range(count)]

    def __call__(self, orders: Mapping[str, Order], inbox: Inbox[Any]) -> None:
        repeated: set[str] = set()
        for worker in self._workers:
            worker.waiting = [site for site in worker.sites if site in orders]
            self._next(worker, orders)
        while busy := {worker.pipe: worker for worker in self._workers if worker.busy}:
            for pipe in multiprocessing.connection.wait(list(busy)):
                self._collect(busy[pipe], orders, inbox, repeated)  # type: ignore[index]

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()

    def _collect(self, worker: _Worker, orders: Mapping[str, Order], inbox: Inbox[Any], repeated: set[str]) -> None:
        site = worker.busy
        assert site is not None
        try:
            answer = plain.unpack(worker.pipe.recv_bytes(), f"the worker's answer for {site}")
        except (EOFError, OSError):
            self._restart(worker, site, inbox, repeated)
        else:
            inbox.accept(site, answer)
        self._next(worker, orders)

    def _restart(self, worker: _Worker, site: str, inbox: Inbox[Any], repeated: set[str]) -> None:
        worker.process.join()
        died = f"the worker process {worker.process.pid} of {site} {cause(worker.process.exitcode)}"
        fresh = self._start(worker.sites)
        worker.process, worker.pipe = fresh.process, fresh.pipe
        if site in repeated:
            inbox.lose(site, f"{died}, twice in this exchange")
            return
        repeated.add(site)
        worker.waiting.insert(0, site)
        self._tell(f"{died}; started again, the order is repeated and the result stays the same")

    def _next(self, worker: _Worker, orders: Mapping[str, Order]) -> None:
        worker.busy = worker.waiting.pop(0) if worker.waiting else None
        if worker.busy is not None:
            worker.pipe.send_bytes(plain.pack({"site": worker.busy, "order": orders[worker.busy]}))

    def _start(self, sites: list[str]) -> _Worker:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_work, args=(there, here, sites, self._keep, self._opener), daemon=True)  # type: ignore[attr-defined]
        process.start()
        there.close()
        return _Worker(sites, process, here)


def _work(pipe: Connection, parents: Connection, sites: Sequence[str], keep: Path, opener: Opener) -> None:
    """A worker's life: answer orders until the pipe is closed."""
    parents.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    desks = _desks(sites, keep, opener)
    while True:
        try:
            request = plain.unpack(pipe.recv_bytes())
        except EOFError:
            return
        pipe.send_bytes(plain.pack(desks[request["site"]].answer(request["order"])))


def _desks(sites: Sequence[str], keep: Path, opener: Opener) -> dict[str, Answers]:
    return {site: guarded(Desk(site, keep, site_file_of(None), opener, discreet=False), site) for site in sites}


class _Opened:
    """Opens a data set that is dealt out to several sites of one process once, not once for each."""

    def __init__(self) -> None:
        self._found: dict[tuple[Any, ...], dict[str, Dataset]] = {}

    def __call__(self, file: SiteFile | None, site: str, sites: Sequence[str], size: int, dims: int) -> Dataset:
        if file is None or file.deal is None:
            return open_site(file, site, sites, size, dims)
        key = (tuple(sites), size, dims)
        if key not in self._found:
            self._found = {key: open_sites(file, sites, size, dims)}
        return self._found[key][site]


def context() -> BaseContext:
    """Forked workers start at once and share what is loaded; CUDA does not survive a fork."""
    forkable = "fork" in multiprocessing.get_all_start_methods() and not torch.cuda.is_available()
    return multiprocessing.get_context("fork" if forkable else "spawn")


def cause(exitcode: int | None) -> str:
    """How a process ended, in words that follow its name."""
    if exitcode is not None and exitcode < 0:
        return f"was killed by signal {-exitcode} ({signal.Signals(-exitcode).name})"
    return f"ended with exit code {exitcode}"

"""The same job folder in one process, or in worker processes: same scheme, same learner, same record, no FLARE."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from brainct import state
from brainct.desk import Opener, site_file_of
from brainct.errors import Refused
from brainct.guard import policy_file
from brainct.inbox import Inbox
from brainct.plan import Plan, plan_of
from brainct.record import Record
from brainct.rounds import Carrier, Order, Run
from brainct.weights import Weights
from brainct.worker import Tell, Worker, behind_policy, context, desks

Lost = Collection[tuple[str, int]]


def rehearse(
    plan: Plan,
    sites: Sequence[str],
    folder: Path,
    *,
    workers: int = 1,
    initial: Weights | None = None,
    lose: Lost = (),
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
    unknown = sorted({site for site, _ in lose} - set(sites))
    if unknown:
        raise Refused(f"--lose names {', '.join(unknown)}; the sites are {', '.join(sites)}")
    plan.check_sites(len(sites))
    record = Record(folder, plan, plan.build(), "rehearse")
    record.content["lose"] = [list(pair) for pair in sorted(lose)]
    return _run(record, plan, sites, workers, opener, tell, initial=initial, secret=secret, closed=closed)


def resume(
    folder: Path,
    *,
    workers: int = 1,
    opener: Opener | None = None,
    tell: Tell = print,
    closed: Callable[[Mapping[str, Any]], None] = lambda row: None,
) -> Record:
    """Go on with the rehearsed run in this folder after its last closed round, to the model it would have had."""
    found = state.load(folder / "state", folder.name)
    if "model_sha256" in state.record_in(folder / "record.json"):
        raise Refused(f"run {folder.name} is finished; its model is {folder / 'model.safetensors'}")
    plan = plan_of(found.record["plan"], f"the record of run {folder.name}")
    record = Record(folder, plan, plan.build(), "rehearse", resumed=found)
    return _run(record, plan, sorted(found.record["sites"]), workers, opener, tell, closed=closed)


def _run(
    record: Record, plan: Plan, sites: Sequence[str], workers: int, opener: Opener | None, tell: Tell, **choices: Any
) -> Record:
    if workers < 1:
        raise Refused(f"--workers is {workers}; wanted at least 1")
    keep = record.states / "keep"
    many = min(workers, len(sites))
    carry = Here(sites, keep, opener) if many == 1 else Workers(sites, keep, opener, many, tell)
    try:
        losing = _Losing(carry, {(site, number) for site, number in record.content["lose"]})
        Run(plan, sites, losing, record, tell=tell, **choices)()
    finally:
        if isinstance(carry, Workers):
            carry.close()
    return record


def names_of(text: str) -> list[str]:
    """Sites' names joined by commas; refused where one could not be a site's in FLARE, or the name of a file."""
    names = [name.strip() for name in text.split(",")]
    if strange := [name for name in names if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name)]:
        raise Refused(f"a site is called {strange[0][:80]!r}; wanted letters, digits, -, _ and dots, at most 64")
    return names


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

    def __init__(self, sites: Sequence[str], keep: Path, opener: Opener | None):
        self._desks = behind_policy(
            desks(sites, keep, site_file_of(None), discreet=False, opener=opener, privacy=policy_file())
        )

    def __call__(self, orders: Mapping[str, Order], inbox: Inbox[Any]) -> None:
        for site in sorted(orders):
            inbox.accept(site, self._desks[site].answer(orders[site]))


class Workers:
    """Carries orders to worker processes; a site stays with its worker, so that its scans are opened once."""

    def __init__(self, sites: Sequence[str], keep: Path, opener: Opener | None, count: int, tell: Tell):
        how: Mapping[str, Any] = {"context": context(threads=False), "opener": opener, "privacy": policy_file()}
        shares = [sorted(sites)[index::count] for index in range(count)]
        self._workers = [Worker(share, keep, site_file_of(None), tell, discreet=False, **how) for share in shares]

    def __call__(self, orders: Mapping[str, Order], inbox: Inbox[Any]) -> None:
        todo = {worker: [site for site in worker.sites if site in orders] for worker in self._workers}
        for worker in self._workers:
            _next(worker, todo[worker], orders)
        while busy := {worker.pipe: worker for worker in self._workers if worker.busy}:
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                if said := busy[pipe].receive():
                    inbox.accept(*said)
                    _next(busy[pipe], todo[busy[pipe]], orders)

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            worker.close()


def _next(worker: Worker, sites: list[str], orders: Mapping[str, Order]) -> None:
    if sites:
        site = sites.pop(0)
        worker.send(site, orders[site])

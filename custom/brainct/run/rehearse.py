"""The same job folder in one process, or in worker processes: same scheme, same learner, same record, no FLARE."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from brainct.core import serialization
from brainct.core.names import listing
from brainct.core.weights import Weights
from brainct.core.writable import check_writable
from brainct.errors import Refused
from brainct.job.config import Plan, plan_of
from brainct.protocol.replies import reply_to_plain
from brainct.protocol.requests import Request, TrainRequest, request_to_plain
from brainct.run import checkpoint
from brainct.run.exchange import Transport
from brainct.run.inbox import Inbox
from brainct.run.record import RecordWriter
from brainct.run.rounds import Run
from brainct.run.run_record import read_record
from brainct.run.start_model import start_of, starter
from brainct.security.policy_file import policy_file
from brainct.site.data import Opener, site_file_of
from brainct.site.learners import Starter
from brainct.site.worker import Log, Worker, agents, behind_policy, context

Lost = Collection[tuple[str, int]]


def rehearse(
    plan: Plan,
    sites: Sequence[str],
    folder: Path,
    *,
    workers: int = 1,
    initial: Weights | None = None,
    start: Path | None = None,
    lose: Lost = (),
    secret: str = "",
    opener: Opener | None = None,
    log: Log = print,
    on_round_closed: Callable[[Mapping[str, Any]], None] = lambda row: None,
) -> RecordWriter:
    """Run a plan over these sites and return its record; results go to `folder`, which must be new or empty.

    workers: processes to train in, >= 1; one means this process. initial: bare weights in place of the seeded ones.
    start: the file of the plan's start model, if that is not in the package. lose: (site, round) pairs whose reply is
    lost on purpose. opener: opens each site's data, see site.data.Opener; by default as BRAINCT_SITE says. log: gets
    the lines that a user should read; on_round_closed: gets each closed round's row.
    """
    unknown = sorted({site for site, _ in lose} - set(sites))
    if unknown:
        raise Refused(f"--lose names {listing(unknown)}; the sites are {listing(sites)}")
    plan.check_sites(len(sites))
    check_writable(folder)
    record = RecordWriter(folder, plan, plan.build(), "rehearse")
    record.record.lose = sorted(lose)
    if begin := start_of(plan, start):
        record.record.start, initial = begin.started, begin.weights
        for note in begin.notes:
            log(note)
    how: dict[str, Any] = {"initial": initial, "secret": secret, "on_round_closed": on_round_closed}
    return _run(record, plan, sites, workers, opener, log, start, **how)


def resume(
    folder: Path,
    *,
    workers: int = 1,
    start: Path | None = None,
    opener: Opener | None = None,
    log: Log = print,
    on_round_closed: Callable[[Mapping[str, Any]], None] = lambda row: None,
) -> RecordWriter:
    """Continue the rehearsed run in this folder after its last closed round, to the model that it would have had.

    start: see `rehearse`; needed where training remembers the start model.
    """
    found = checkpoint.load(folder / "state", folder.name)
    if read_record(folder / "record.json").finished:
        raise Refused(f"run {folder.name} is finished; its model is {folder / 'model.safetensors'}")
    plan = plan_of(found.record.plan, f"the record of run {folder.name}")
    record = RecordWriter(folder, plan, plan.build(), "rehearse", resumed=found)
    return _run(record, plan, found.record.members, workers, opener, log, start, on_round_closed=on_round_closed)


def _run(
    record: RecordWriter,
    plan: Plan,
    sites: Sequence[str],
    workers: int,
    opener: Opener | None,
    log: Log,
    start: Path | None,
    **choices: Any,
) -> RecordWriter:
    if workers < 1:
        raise Refused(f"--workers is {workers}; wanted at least 1")
    client_state = record.states / "client_state"
    many = min(workers, len(sites))
    own = (sites, client_state, opener)
    begins = starter(start)
    transport = InProcess(*own, begins) if many == 1 else Workers(*own, many, log, context(plan), begins)
    try:
        losing = _Losing(transport, set(record.record.lose))
        Run(plan, sites, losing, record, log=log, **choices)()
    finally:
        if isinstance(transport, Workers):
            transport.close()
    return record


@dataclass
class _Losing:
    """A transport that leaves out requests lost on purpose."""

    transport: Transport
    lost: set[tuple[str, int]]

    def __call__(self, requests: Mapping[str, Request], inbox: Inbox[Any]) -> None:
        lost = {
            site
            for site, request in requests.items()
            if isinstance(request, TrainRequest) and (site, request.round) in self.lost
        }
        for site in lost:
            inbox.mark_lost(site, "lost on purpose by --lose")
        self.transport({site: request for site, request in requests.items() if site not in lost}, inbox)


class InProcess:
    """Gives requests to agents in this process, one after the other, as they are."""

    def __init__(self, sites: Sequence[str], client_state: Path, opener: Opener | None, start: Starter | None = None):
        how: Mapping[str, Any] = {"opener": opener, "privacy": policy_file(), "start": start}
        self.agents = behind_policy(agents(sites, client_state, site_file_of(None), redact=False, **how))

    def __call__(self, requests: Mapping[str, Request], inbox: Inbox[Any]) -> None:
        for site in sorted(requests):
            request = requests[site]
            inbox.accept(site, reply_to_plain(self.agents[site].reply(request), request.exchange))


class Workers:
    """Gives requests to worker processes; a site stays with its worker, so that its data are opened once."""

    def __init__(
        self,
        sites: Sequence[str],
        client_state: Path,
        opener: Opener | None,
        count: int,
        log: Log,
        how_to_start: BaseContext,
        start: Starter | None = None,
    ):
        own: Mapping[str, Any] = {"opener": opener, "privacy": policy_file(), "start": start}
        how: Mapping[str, Any] = {"context": how_to_start, **own}
        shares = [sorted(sites)[index::count] for index in range(count)]
        self._workers = [Worker(share, client_state, site_file_of(None), log, redact=False, **how) for share in shares]

    def __call__(self, requests: Mapping[str, Request], inbox: Inbox[Any]) -> None:
        packed = {one: serialization.pack(request_to_plain(one)) for one in {*requests.values()}}
        contents = {site: packed[request] for site, request in requests.items()}
        todo = {worker: [site for site in worker.sites if site in contents] for worker in self._workers}
        for worker in self._workers:
            _next(worker, todo[worker], contents)
        while busy := {worker.pipe: worker for worker in self._workers if worker.busy}:
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                if message := busy[pipe].receive():
                    inbox.accept(*message)
                    _next(busy[pipe], todo[busy[pipe]], contents)

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            worker.close()


def _next(worker: Worker, sites: list[str], contents: Mapping[str, bytes]) -> None:
    if sites:
        site = sites.pop(0)
        worker.send(site, contents[site])

"""A comparison over machines: Dask brings each run to a worker, and this process alone writes the ledger."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from brainct.compare.one_run import describe_error, failed_row, run_one
from brainct.compare.planned_runs import PlannedRun
from brainct.compare.run_row import RunRow
from brainct.core.determinism import one_thread
from brainct.core.version import fingerprint
from brainct.errors import Refused
from brainct.training.data import Dataset

RETRIES = 3
"""How often a run whose worker died is given to another one."""
MEMORY = "4GiB"
"""Of a Slurm job, unless Dask's own configuration says otherwise."""
_ALONE = threading.Lock()
"""A worker with several threads still does one run at a time: torch's random state belongs to the whole process."""
_opened: dict[tuple[Any, ...], Mapping[str, Dataset]] = {}
"""The data of the federation that a worker's last run was on: its next run is mostly on the same."""


class Runs(Protocol):
    """The part of `campaign.Campaign` that is needed here."""

    tried: set[str]

    def left(self) -> list[PlannedRun]: ...
    def add(self, run: PlannedRun, row: RunRow) -> None: ...


@contextmanager
def client_of(cluster: str, workers: int, log: Callable[[str], None]) -> Iterator[Any]:
    """A Dask client. cluster: a scheduler's address such as tcp://10.0.0.5:8786, `local`, or `slurm`.

    workers: processes to start for `local`, jobs to submit for `slurm`; a scheduler that already runs has its own.
    """
    try:
        from distributed import Client
    except ImportError:
        raise Refused("--cluster needs Dask: pip install 'flare-brainct[cluster]', here and on every worker") from None
    if cluster.startswith(("tcp://", "tls://")):
        try:
            client = Client(cluster, timeout="20s")
        except (OSError, ValueError):
            raise Refused(f"--cluster {cluster}: no Dask scheduler answers there; start it, or correct it") from None
        with client:
            yield client
        return
    if cluster not in ("local", "slurm"):
        raise Refused(f"--cluster is {cluster!r:.100}; wanted tcp://HOST:PORT of a Dask scheduler, local, or slurm")
    with started(cluster, workers) as scheduler, Client(scheduler) as client:
        log(f"Dask's scheduler is {scheduler.scheduler_address}")
        yield client


def started(cluster: str, workers: int) -> Any:
    """A scheduler in this process, with so many workers of one thread each: `local`, or jobs of Slurm."""
    if cluster == "local":
        from distributed import LocalCluster

        return LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
    import dask
    from dask_jobqueue import SLURMCluster

    memory = dask.config.get("jobqueue.slurm.memory", None) or MEMORY
    scheduler = SLURMCluster(cores=1, processes=1, memory=memory)
    scheduler.scale(jobs=workers)
    return scheduler


def do_runs(campaign: Runs, client: Any) -> None:
    """Do all runs; each row is in the ledger the moment it arrives. If this ends early, runs under way are cancelled.

    A run whose worker dies is done again by another; where all of these die too, it has failed.
    """
    from distributed import as_completed

    known: dict[str, PlannedRun] = {}
    arriving = as_completed()
    _submit(campaign, client, arriving, known)
    try:
        for future in arriving:
            run = known.pop(future.key)
            campaign.add(run, _row_of(run, future))
            _submit(campaign, client, arriving, known)
    finally:
        client.cancel(list(known))


def _submit(campaign: Runs, client: Any, arriving: Any, known: dict[str, PlannedRun]) -> None:
    """Give Dask what is left; a grid's winner is known only once its tuning runs have ended."""
    for place, run in enumerate(campaign.left()):
        campaign.tried.add(run.key)
        future = client.submit(_on_worker, run, fingerprint(), priority=-place, retries=RETRIES, pure=False)
        known[future.key] = run
        arriving.add(future)


def _row_of(run: PlannedRun, future: Any) -> RunRow:
    try:
        row: RunRow = future.result()
    except Exception as error:  # a worker that is lost must not end the runs on others
        return failed_row(run, f"on the cluster: {type(error).__name__}: {str(error):.300}")
    return row


def _on_worker(run: PlannedRun, package: str) -> RunRow:
    """One run in a worker's process. package: the package whose rows the ledger has."""
    if fingerprint() != package:
        return failed_row(run, f"the worker's brainct is {fingerprint()}, the ledger's {package}; install the same one")
    with _ALONE:
        one_thread()
        try:
            return run_one(run, _open(run))
        except Exception as error:  # data that can't be read must not end the runs on others
            return failed_row(run, describe_error(error))


def _open(run: PlannedRun) -> Mapping[str, Dataset]:
    key = (run.federation.digest, run.seed, *run.federation.opened_for(run.plan))
    if key not in _opened:
        _opened.clear()
        _opened[key] = run.federation.open(run.seed, run.plan)
    return _opened[key]

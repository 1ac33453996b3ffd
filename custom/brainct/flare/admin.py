"""The lead's side of a run in FLARE: submit a job, follow its rounds, download its results."""

import json
import re
import shutil
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nvflare.fuel.flare_api.api_spec import InternalError, JobNotFound, NoConnection, SessionClosed
from nvflare.fuel.flare_api.flare_api import Session, new_secure_session

from brainct.core.names import listing
from brainct.core.writable import check_writable
from brainct.errors import Refused, one_line
from brainct.kit.policy_files import kind_of
from brainct.run.run_record import RunRecord, read_record

JOB_POLL_SECONDS = 0.5
"""Seconds between two checks of a running job."""

CONNECT_SECONDS = 60.0
"""Seconds to wait for a server that was just started."""

REASON_SECONDS = 5.0
"""Seconds that FLARE gets to write why a job could not run: it writes the status first."""

RUN_LINE = re.compile(r" - brainct - [A-Z]+ - (.*)$")
"""A line of the run in FLARE's log: the text after time, logger and level."""


LOST = (NoConnection, SessionClosed, InternalError, RuntimeError)
"""What FLARE's session raises when the server is gone."""


SILENT_SECONDS = 60.0
"""Seconds for which a server may be too busy to answer before it counts as lost."""


class ServerLost(Refused):
    """The server no longer answers whoever follows a job."""


@dataclass
class FinishedJob:
    """The end of a job: FLARE's status, the deployment at each site, the folder of results, the record."""

    job: str
    status: str
    sites: Mapping[str, str]
    folder: Path
    record: RunRecord


class Clock:
    """Measures the seconds of each phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def note(self, phase: str) -> None:
        """End the current phase, which has this name."""
        now = time.monotonic()
        self.seconds[phase] = round(now - self._last, 2)
        self._last = now


def session_of(kit: Path, timeout: float = CONNECT_SECONDS, look: Callable[[], None] = lambda: None) -> Session:
    """A session as the owner of the kit; the caller closes it.

    timeout: seconds until the server listens, and again until it answers. look: called while it does not listen.
    """
    if kind_of(kit) != "person":
        raise Refused(f"{kit} is not a person's kit; wanted the folder that contains startup/fed_admin.json")
    admin = json.loads((kit / "startup" / "fed_admin.json").read_text())["admin"]
    where = f"{admin['host']}:{admin['port']}"
    _await_port(admin["host"], admin["port"], time.monotonic() + timeout, look)
    try:
        with redirect_stdout(sys.stderr):
            return new_secure_session(admin["username"], str(kit.resolve()), timeout=timeout)
    except NoConnection as error:
        raise Refused(f"the server at {where} refuses {admin['username']} ({error})") from None


def _await_port(host: str, port: int, until: float, look: Callable[[], None]) -> None:
    """Wait for the port here, because FLARE's session waits longer after each failed attempt."""
    while True:
        look()
        with suppress(OSError), socket.create_connection((host, port), timeout=1):
            return
        if time.monotonic() > until:
            raise Refused(f"no answer from {host}:{port}; is the server started, and its port open from here?")
        time.sleep(0.1)


def await_sites(
    session: Session, sites: Collection[str], timeout: float = 180, log: Callable[[str], None] = lambda line: None
) -> None:
    """Wait until all these sites are connected, so that the job starts at every one of them; log who is missing."""
    until, said = time.monotonic() + timeout, set[str]()
    while missing := set(sites) - {client.name for client in session.get_system_info().client_info}:
        if time.monotonic() > until:
            raise Refused(f"{listing(missing)} did not reach the server within {timeout:.0f} s")
        if missing != said:
            log(f"waiting up to {max(until - time.monotonic(), 0):.0f} s for {listing(missing)}")
            said = missing
        time.sleep(JOB_POLL_SECONDS)


def submit_job(
    session: Session, job: Path, out: Path, log: Callable[[str], None] = print, clock: Clock | None = None
) -> FinishedJob:
    """Run one job to its end and download its results to `out`; Refused with the reason if it does not complete."""
    check_writable(out)
    clock = clock or Clock()
    name = send_job(session, job)
    log(f"submitted as {name}")
    clock.note("submit")
    return follow_job(session, name, out, log, clock)


def check_job_folder(job: Path) -> None:
    """Refuse a folder that FLARE would not take for a job."""
    if not (job / "meta.json").is_file():
        raise Refused(f"{job} is not a job folder; wanted one with a meta.json, such as jobs/feddc")


def send_job(session: Session, job: Path) -> str:
    """Give the server a job; returns its id. The folder stays as it is: FLARE signs what it submits, here a copy."""
    check_job_folder(job)
    with tempfile.TemporaryDirectory(prefix="brainct-") as place:
        return str(session.submit_job(str(_own_copy(job, Path(place)))))


def _own_copy(job: Path, place: Path) -> Path:
    """A copy with the job's name in which we may write, whatever the rights of the original."""
    copy = Path(shutil.copytree(job, place / job.resolve().name))
    for path in (copy, *copy.rglob("*")):
        path.chmod(path.stat().st_mode | (stat.S_IRWXU if path.is_dir() else stat.S_IRUSR | stat.S_IWUSR))
    return copy


def follow_job(
    session: Session, name: str, out: Path, log: Callable[[str], None] = print, clock: Clock | None = None
) -> FinishedJob:
    """Log a job's lines until it ends and download its results to `out`.

    Refused with the reason where the job did not complete; ServerLost where the server no longer answers.
    """
    clock = clock or Clock()
    with _losing_the_server(name):
        meta = _follow(session, name, log)
        clock.note("job")
        folder = Path(session.download_job_result(name, str(out.resolve())))
    clock.note("download")
    status, sites = meta.get("status", "unknown"), _deployed(meta)
    if status != "FINISHED:COMPLETED":
        raise Refused(f"job {name} ended as {status}: {_reason(folder, sites)}; its logs are in {folder}")
    results = folder / "workspace" / "brainct"
    record = read_record(results / "record.json")
    return FinishedJob(name, status, sites, results, record)


@contextmanager
def _losing_the_server(job: str) -> Iterator[None]:
    try:
        yield
    except JobNotFound:
        raise Refused(f"the server knows no job {job}; `nvflare job list` shows its jobs") from None
    except LOST as error:
        raise ServerLost(f"the server no longer answers ({one_line(error)}); job {job} may go on there") from None


def _follow(session: Session, job: str, log: Callable[[str], None]) -> Mapping[str, Any]:
    """Log each new line of the run from the server's log, and what the job waits for; return its last meta."""
    logged, waits, heard = 0, "", time.monotonic()
    while True:
        try:
            meta, lines = ended_meta(session, job), _lines(session, job)
            words = "" if lines or meta else _waits_for(session, job)
            heard = time.monotonic()
        except LOST:
            if time.monotonic() - heard > SILENT_SECONDS:
                raise
            meta, lines, words = None, [], f"the server does not answer; trying for {SILENT_SECONDS:.0f} s"
        if words and words != waits:
            log(words)
        waits = words
        for line in lines[logged:]:
            log(line)
        logged = max(logged, len(lines))
        if meta:
            return meta
        time.sleep(JOB_POLL_SECONDS)


def _waits_for(session: Session, job: str) -> str:
    """What a job without a line of its own is waiting for."""
    running = [str(each.job_id) for each in session.get_system_info().job_info]
    if job in running:
        return "starting at the server and the sites"
    if running:
        return f"waiting for {listing(running, 'jobs')}, which the server runs first"
    return "waiting for the server to begin it"


def ended_meta(session: Session, job: str) -> Mapping[str, Any] | None:
    """The meta of a job that has ended, with the sites' reasons if it could not run; None while it runs."""
    until = time.monotonic() + REASON_SECONDS
    while str((meta := session.get_job_meta(job)).get("status", "")).startswith("FINISHED"):
        if meta["status"] != "FINISHED:FAILED_TO_RUN" or "job_deploy_detail" in meta or time.monotonic() > until:
            return dict(meta)
        time.sleep(JOB_POLL_SECONDS)
    return None


def _lines(session: Session, job: str) -> list[str]:
    log = session.get_job_logs(job).get("logs", {}).get("server", "")
    return [found[1] for line in log.splitlines() if (found := RUN_LINE.search(line))]


def _deployed(meta: Mapping[str, Any]) -> dict[str, str]:
    """FLARE's message for each site: `OK`, or why the job was not deployed there."""
    return dict(entry.split(": ", 1) for entry in meta.get("job_deploy_detail", []) if ": " in entry)


def _reason(folder: Path, sites: Mapping[str, str]) -> str:
    refused = [f"{site}: {words}" for site, words in sites.items() if words != "OK"]
    log = folder / "workspace" / "log.txt"
    lines = log.read_text().splitlines() if log.is_file() else []
    return "; ".join(refused or [line.rsplit(" - ", 1)[-1] for line in lines if "brainct: " in line][:1]) or "no reason"

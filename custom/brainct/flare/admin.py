"""The lead's half of a run in FLARE: submit a job through FLARE's own session, follow its rounds, fetch its results."""

import json
import re
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nvflare.fuel.flare_api.api_spec import NoConnection
from nvflare.fuel.flare_api.flare_api import Session, new_secure_session

from brainct.errors import Refused
from brainct.kit.policy_files import kind_of
from brainct.run.run_record import RunRecord, read_record

PERIOD = 0.5
"""Seconds between two looks at a running job."""

WAIT = 60.0
"""Seconds in which a server that was just started is reached."""

WORDS = 5.0
"""Seconds that FLARE gets to write down why a job could not run: it writes the status first."""

OURS = re.compile(r" - brainct - [A-Z]+ - (.*)$")
"""A line of the run's own in a log of FLARE's: what stands after time, logger and level."""


@dataclass
class Outcome:
    """What a job came to: FLARE's word for it, which sites took the job, its results."""

    job: str
    status: str
    sites: Mapping[str, str]
    folder: Path
    record: RunRecord


class Clock:
    """Seconds of each phase, from one note to the next."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def note(self, phase: str) -> None:
        """A phase ends now."""
        now = time.monotonic()
        self.seconds[phase] = round(now - self._last, 2)
        self._last = now


def session_of(kit: Path, timeout: float = WAIT, look: Callable[[], None] = lambda: None) -> Session:
    """A session as the person to whom the kit belongs; the caller closes it.

    timeout: seconds for the server to come up, and as many to answer. look: called while nobody listens there.
    """
    if kind_of(kit) != "person":
        raise Refused(f"{kit} is no kit of a person; wanted the folder that holds startup/fed_admin.json")
    admin = json.loads((kit / "startup" / "fed_admin.json").read_text())["admin"]
    where = f"{admin['host']}:{admin['port']}"
    _await_port(admin["host"], admin["port"], time.monotonic() + timeout, look)
    try:
        with redirect_stdout(sys.stderr):
            return new_secure_session(admin["username"], str(kit.resolve()), timeout=timeout)
    except NoConnection as error:
        raise Refused(f"the server at {where} does not let {admin['username']} in ({error})") from None


def _await_port(host: str, port: int, until: float, look: Callable[[], None]) -> None:
    """A session that meets a closed port waits ever longer before it tries again; so we wait here."""
    while True:
        look()
        with suppress(OSError), socket.create_connection((host, port), timeout=1):
            return
        if time.monotonic() > until:
            raise Refused(f"nobody answers at {host}:{port}; is the server started, and its port open from here?")
        time.sleep(0.1)


def await_sites(session: Session, sites: Collection[str], timeout: float = 180) -> None:
    """Wait until these sites are connected, so that a job does not start on a part of them."""
    until = time.monotonic() + timeout
    while missing := set(sites) - {client.name for client in session.get_system_info().client_info}:
        if time.monotonic() > until:
            raise Refused(f"{', '.join(sorted(missing))} did not reach the server within {timeout:.0f} s")
        time.sleep(PERIOD)


def submit(
    session: Session, job: Path, out: Path, log: Callable[[str], None] = print, clock: Clock | None = None
) -> Outcome:
    """Run one job to its end and bring its results to `out`; refuses one that did not complete, and says why."""
    if not (job / "meta.json").is_file():
        raise Refused(f"{job} is no job folder; wanted one with a meta.json, such as jobs/feddc")
    clock = clock or Clock()
    with tempfile.TemporaryDirectory(prefix="brainct-") as place:  # FLARE signs a job in the folder that it submits
        name = session.submit_job(shutil.copytree(job, f"{place}/{job.name}"))
    clock.note("submit")
    meta = _follow(session, name, log)
    clock.note("job")
    folder = Path(session.download_job_result(name, str(out.resolve())))
    clock.note("download")
    status, sites = meta.get("status", "unknown"), _deployed(meta)
    if status != "FINISHED:COMPLETED":
        raise Refused(f"job {name} ended as {status}: {_reason(folder, sites)}; its logs are in {folder}")
    results = folder / "workspace" / "brainct"
    record = read_record(results / "record.json")
    return Outcome(name, status, sites, results, record)


def _follow(session: Session, job: str, log: Callable[[str], None]) -> Mapping[str, Any]:
    """The job's last meta; on the way each new line of the run's own in the server's log is told."""
    told = 0
    while True:
        meta = ended(session, job)
        lines = _lines(session, job)
        for line in lines[told:]:
            log(line)
        told = max(told, len(lines))
        if meta:
            return meta
        time.sleep(PERIOD)


def ended(session: Session, job: str) -> Mapping[str, Any] | None:
    """The job's meta if it ended, with the sites' words if it could not run; None while it goes on."""
    until = time.monotonic() + WORDS
    while str((meta := session.get_job_meta(job)).get("status", "")).startswith("FINISHED"):
        if meta["status"] != "FINISHED:FAILED_TO_RUN" or "job_deploy_detail" in meta or time.monotonic() > until:
            return dict(meta)
        time.sleep(PERIOD)
    return None


def _lines(session: Session, job: str) -> list[str]:
    log = session.get_job_logs(job).get("logs", {}).get("server", "")
    return [found[1] for line in log.splitlines() if (found := OURS.search(line))]


def _deployed(meta: Mapping[str, Any]) -> dict[str, str]:
    """FLARE's own words for each site: `OK`, or why the job was not deployed there."""
    return dict(entry.split(": ", 1) for entry in meta.get("job_deploy_detail", []) if ": " in entry)


def _reason(folder: Path, sites: Mapping[str, str]) -> str:
    refused = [f"{site}: {words}" for site, words in sites.items() if words != "OK"]
    log = folder / "workspace" / "log.txt"
    lines = log.read_text().splitlines() if log.is_file() else []
    return "; ".join(refused or [line.rsplit(" - ", 1)[-1] for line in lines if "brainct: " in line][:1]) or "no reason"

"""`poc/run.sh JOB`: run a job in FLARE's proof of concept, with its own workspace, port and HOME."""

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from brainct.core.names import check_path, site_names
from brainct.core.writable import check_writable
from brainct.errors import Refused
from brainct.flare.admin import Clock, FinishedJob, check_job_folder, submit_job
from brainct.flare.local_federation import Federation, prepare_poc
from brainct.run.summary import last_lines

ROOT = Path(__file__).resolve().parent.parent
PROJECT, POLICY = ROOT / "provisioning" / "project.yml", ROOT / "provisioning" / "policy"
ADMIN, LEAD = "admin@consortium.example", "lead@consortium.example"


def main(
    job: Annotated[Path, typer.Argument(help="A job folder, such as jobs/feddc.")],
    sites: Annotated[int, typer.Option(help="Number of sites: site-1 ... site-N.")] = 4,
    out: Annotated[Path | None, typer.Option(help="A new folder for the results. (default: runs/poc-JOB-N)")] = None,
    workspace: Annotated[
        Path | None,
        typer.Option(help="A new folder for kits and logs. (default: a temporary one, removed if the job completes)"),
    ] = None,
    privacy: Annotated[str, typer.Option(help="The sites' privacy policy: open, standard or strict.")] = "open",
) -> None:
    """Prepare and start a server and its sites, run the job, download the results, print the table, stop everything."""
    check_job_folder(job)
    results = out or _free(f"poc-{job.resolve().name}")
    for folder in (results, workspace):
        if folder is not None:
            check_writable(folder)
            if folder.exists() and any(folder.iterdir()):
                raise Refused(f"the folder {folder} is in use; name another one or remove it first")
    check_path((workspace or Path(tempfile.gettempdir())).resolve(), "the workspace")
    place = workspace.resolve() if workspace else Path(tempfile.mkdtemp(prefix="brainct-poc-"))
    clock = Clock()
    with _kept_if_it_fails(place, removed=not workspace):
        outcome = run(job, sites, place, clock, privacy)
        try:
            shutil.copytree(outcome.folder, results, dirs_exist_ok=True)
        except OSError as error:
            where = f"results can't be copied to {results} ({error.strerror or 'some files'})"
            raise Refused(f"{where}; they are in {outcome.folder}, copy them from there") from None
    phases = ", ".join(f"{phase} {seconds:.1f}" for phase, seconds in clock.seconds.items())
    print(f"\nseconds: {phases} (of the job's, {outcome.record.seconds:.1f} between its first and last request)\n")
    print(last_lines(outcome.record, results))


def run(job: Path, sites: int, place: Path, clock: Clock, privacy: str = "open") -> FinishedJob:
    """Run one job in a new federation whose kits and logs are in the folder `place`."""
    kits = prepare_poc(PROJECT, place, site_names(sites), POLICY, privacy)
    clock.note("prepare")
    with Federation(kits, place / "home", {"BRAINCT_WAY": "poc"}) as federation:
        federation.start()
        federation.ready()
        clock.note("start")
        with federation.session(LEAD) as session:
            outcome = submit_job(session, job, place / "out", lambda line: print(line, flush=True), clock)
        federation.shut_down(ADMIN)
    clock.note("stop")
    return outcome


@contextmanager
def _kept_if_it_fails(place: Path, removed: bool) -> Iterator[None]:
    """Remove the workspace at the end, but not what tells why a job failed."""
    try:
        yield
    except Refused as error:
        raise Refused(f"{error} (kits and logs of this federation: {place}; remove it once read)") from None
    except BaseException:
        if removed:
            shutil.rmtree(place, ignore_errors=True)
        raise
    if removed:
        shutil.rmtree(place, ignore_errors=True)


def _free(name: str) -> Path:
    number = 1
    while (Path("runs") / f"{name}-{number}").exists():
        number += 1
    return Path("runs") / f"{name}-{number}"


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    for wish in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(wish, _interrupt)
    try:
        typer.run(main)
    except Refused as error:
        print(f"poc: {error}", file=sys.stderr)
        sys.exit(2)

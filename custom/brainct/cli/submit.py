"""`brainct submit`: run a job on a real federation, as the lead."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from brainct.errors import Refused


def submit(
    kit: Annotated[Path, typer.Option(help="The lead's startup kit.")],
    job: Annotated[Path | None, typer.Argument(help="A job folder, such as jobs/feddc.")] = None,
    wait_for: Annotated[str | None, typer.Option(help="Sites that must be connected first, joined by commas.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the downloaded results.")] = Path("runs"),
    follow: Annotated[str | None, typer.Option(help="The id of a job that was submitted before: follow it.")] = None,
) -> None:
    """Submit a job to the provisioned federation, follow its rounds, download the results and print the table."""
    from brainct.core.names import names_of
    from brainct.core.writable import check_writable
    from brainct.flare.admin import await_sites, check_job_folder, follow_job, send_job, session_of
    from brainct.run.summary import last_lines

    if (job is None) == (follow is None):
        raise Refused("wanted either a job folder to submit, or --follow with the id of a job")
    if job is not None:
        check_job_folder(job)
    check_writable(out)
    session = session_of(kit)
    try:
        name = follow or ""
        if job is not None:
            await_sites(session, names_of(wait_for) if wait_for else [], log=_print)
            name = send_job(session, job)
            print(f"submitted as {name}", flush=True)
        with _commands_on_the_way_out(name, kit, out):
            finished = follow_job(session, name, out, _print)
    finally:
        session.close()
    print(last_lines(finished.record, finished.folder))


def _print(line: str) -> None:
    print(line, flush=True)


@contextmanager
def _commands_on_the_way_out(job: str, kit: Path, out: Path) -> Iterator[None]:
    """On Ctrl-C and when the server is lost, print how to find the job again: it may go on without us."""
    from brainct.flare.admin import ServerLost

    kit_word, out_word = shlex.quote(str(kit)), shlex.quote(str(out))
    commands = f"""  follow it: brainct submit --follow {job} --kit {kit_word} --out {out_word}
  end it:    nvflare job abort {job} --startup-kit {kit_word}
  fetch it:  nvflare job download {job} -o {out_word} --startup-kit {kit_word}
  resume it: brainct resume {job} --job JOB, if it ended before its last round"""
    try:
        yield
    except KeyboardInterrupt:
        print(f"\nno longer following job {job}, which goes on at the server\n{commands}", file=sys.stderr)
        raise typer.Exit(130) from None
    except ServerLost as error:
        raise Refused(f"{error}\n{commands}") from None

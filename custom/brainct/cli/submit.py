"""`brainct submit`: run a job on a real federation, as the lead."""

from pathlib import Path
from typing import Annotated

import typer


def submit(
    job: Annotated[Path, typer.Argument(help="A job folder, such as jobs/feddc.")],
    kit: Annotated[Path, typer.Option(help="The lead's startup kit.")],
    wait_for: Annotated[str | None, typer.Option(help="Sites that must be connected first, joined by commas.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the downloaded results.")] = Path("runs"),
) -> None:
    """Submit a job to the provisioned federation, follow its rounds, download the results and print the table."""
    from brainct.core.names import names_of
    from brainct.flare.admin import await_sites, session_of, submit_job
    from brainct.run.summary import last_lines

    session = session_of(kit)
    try:
        await_sites(session, names_of(wait_for) if wait_for else [])
        finished = submit_job(session, job, out, lambda line: print(line, flush=True))
    finally:
        session.close()
    print(last_lines(finished.record, finished.folder))

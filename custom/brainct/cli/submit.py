"""`brainct submit`: the lead's command, from the job folder to the table of results."""

from pathlib import Path
from typing import Annotated

import typer


def submit(
    job: Annotated[Path, typer.Argument(help="A job folder, such as jobs/feddc.")],
    kit: Annotated[Path, typer.Option(help="The lead's startup kit.")],
    wait_for: Annotated[str | None, typer.Option(help="Sites that must be connected first, joined by commas.")] = None,
    out: Annotated[Path, typer.Option(help="A folder for what is downloaded.")] = Path("runs"),
) -> None:
    """Run a job on the provisioned federation: submit, follow its rounds, fetch the results, print the table."""
    from brainct.core.names import names_of
    from brainct.flare.admin import await_sites, session_of
    from brainct.flare.admin import submit as run
    from brainct.run.summary import last_lines

    session = session_of(kit)
    try:
        await_sites(session, names_of(wait_for) if wait_for else [])
        outcome = run(session, job, out, lambda line: print(line, flush=True))
    finally:
        session.close()
    print(last_lines(outcome.record, outcome.folder))

"""`brainct simulate`: run a job folder in FLARE's simulator, one process a site."""

from pathlib import Path
from typing import Annotated

import typer


def simulate(
    job: Annotated[Path, typer.Argument(help="A job folder, such as jobs/feddc.")],
    sites: Annotated[int, typer.Option(help="Number of sites; they are named site-1 ... site-N.")] = 4,
    names: Annotated[str | None, typer.Option(help="Names of the sites instead of --sites, joined by commas.")] = None,
    workspace: Annotated[
        Path | None,
        typer.Option(help="FLARE's folder, emptied except its local/. (default: runs/simulator-JOB)"),
    ] = None,
    threads: Annotated[int, typer.Option(help="Sites that train at the same time; 0 for all.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the unfinished run of this workspace.")] = False,
) -> None:
    """Run a job folder in FLARE's own simulator, in a workspace that allows it; the hash is the rehearsal's."""
    from brainct.core.names import names_of, site_names
    from brainct.flare.simulator import simulate as run

    place = workspace or Path("runs") / f"simulator-{job.resolve().name}"
    named = names_of(names) if names else site_names(sites)
    raise typer.Exit(run(job, place, named, threads=threads, resume=resume))

"""`brainct resume`: go on with a run that was killed."""

from pathlib import Path
from typing import Annotated

import typer

from brainct.errors import Refused


def resume(
    run: Annotated[str, typer.Argument(help="A rehearsed run's folder; with --job, the id of a run in FLARE.")],
    workers: Annotated[int, typer.Option(help="Processes to train in; the result is the same to the bit.")] = 1,
    job: Annotated[
        Path | None, typer.Option(help="The job folder that the run in FLARE began with: write one that resumes it.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write that job folder. (default: JOB-resumed)")] = None,
) -> None:
    """Go on after a run's last closed round, to the model that it would have had."""
    from brainct.cli.progress import Progress
    from brainct.job import folders
    from brainct.run import checkpoint, rehearse
    from brainct.run.summary import last_lines

    if job:
        folder = folders.resuming(job, run, out or job.resolve().with_name(f"{job.resolve().name}-resumed"))
        print(f"{folder}\nsubmit it to the same server: it and the sites go on with run {run}")
        return
    if not Path(run).is_dir():
        raise Refused(
            f"no run at {run}; wanted the folder of a rehearsed run, such as runs/feddc-1-1, or --job for FLARE"
        )
    found = checkpoint.load(Path(run) / "state", run)
    with Progress(found.record.plan["rounds"]) as progress:
        record = rehearse.resume(Path(run), workers=workers, log=progress.log, on_round_closed=progress.closed)
    print(last_lines(record.record, Path(run)))

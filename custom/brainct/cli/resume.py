"""`brainct resume`: continue a run that was killed."""

from pathlib import Path
from typing import Annotated

import typer

from brainct.errors import Refused


def resume(
    run: Annotated[str, typer.Argument(help="A rehearsed run's folder; with --job, the id of a run in FLARE.")],
    workers: Annotated[int, typer.Option(help="Processes to train in; any number gives the same bits.")] = 1,
    job: Annotated[
        Path | None, typer.Option(help="The job folder of the run in FLARE: write a job folder that resumes the run.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="With --job: the new job folder. (default: runs/JOB-resumes-RUN)")
    ] = None,
) -> None:
    """Continue after a run's last closed round; the final model is the one of an uninterrupted run."""
    from brainct.cli.progress import Progress
    from brainct.job import copies
    from brainct.run import checkpoint, rehearse
    from brainct.run.summary import last_lines

    if job:
        folder = copies.resuming(job, run, out or Path("runs") / f"{job.resolve().name}-resumes-{run[:8]}")
        print(f"{folder}\nsubmit it to the same server: the server and the sites continue run {run}")
        return
    if not Path(run).is_dir():
        raise Refused(
            f"no run at {run}; wanted the folder of a rehearsed run, such as runs/feddc-1-1, or --job for FLARE"
        )
    found = checkpoint.load(Path(run) / "state", run)
    with Progress(found.record.plan["rounds"]) as progress:
        record = rehearse.resume(Path(run), workers=workers, log=progress.log, on_round_closed=progress.closed)
    print(last_lines(record.record, Path(run)))

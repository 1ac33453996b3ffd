"""`brainct rehearse`: run a job folder on this machine, without FLARE."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from brainct.errors import Refused


def rehearse(
    job: Annotated[Path, typer.Argument(help="A job folder, such as jobs/feddc.")],
    sites: Annotated[int, typer.Option(help="Number of sites; they are named site-1 ... site-N.")] = 4,
    names: Annotated[str | None, typer.Option(help="Names of the sites instead of --sites, joined by commas.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds instead of the job's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed instead of the job's.")] = None,
    workers: Annotated[int, typer.Option(help="Training processes; the result is bit-identical for any number.")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="A new folder for the results. (default: runs/JOB-SEED-NUMBER)")
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option("--start-from", "--init", help="A start model: `phantom`, a results folder, a model.safetensors."),
    ] = None,
    lose: Annotated[
        list[str] | None, typer.Option(help="Drop a site's reply on purpose: site-2@3 drops it in round 3.")
    ] = None,
) -> None:
    """Run a job folder in this process: the same scheme, learner, record and model hash as under FLARE."""
    from brainct.cli.progress import Progress
    from brainct.core.names import names_of, site_names
    from brainct.job import folders
    from brainct.job.config import plan_of
    from brainct.run import start_model
    from brainct.run.rehearse import rehearse as run
    from brainct.run.summary import last_lines

    plan = folders.read(job)
    start: Path | None = folders.start_file(job)
    changes: dict[str, Any] = {key: value for key, value in (("rounds", rounds), ("seed", seed)) if value is not None}
    if start_from is not None:
        changes["start_from"], start = start_model.named(start_from, plan)
    plan = plan_of({**plan.model_dump(), **changes}, "the command line")
    folder = out or _new_folder(Path("runs"), f"{job.resolve().name}-{plan.seed}")
    named = names_of(names) if names else site_names(sites)
    with Progress(plan.rounds) as progress, _resume_hint(folder):
        record = run(
            plan,
            named,
            folder,
            workers=workers,
            start=start,
            lose=[_site_and_round(text, named, plan.rounds) for text in lose or []],
            secret=os.environ.get("BRAINCT_SECRET", ""),
            log=progress.log,
            on_round_closed=progress.closed,
        )
    print(last_lines(record.record, folder))


def _site_and_round(text: str, sites: Sequence[str], rounds: int) -> tuple[str, int]:
    from brainct.core.names import listing

    site, _, number = text.rpartition("@")
    if site not in sites or not number.isdigit() or int(number) >= rounds:
        wanted = f"one of the sites {listing(sites)} and of the rounds 0 to {rounds - 1}, such as {sites[0]}@0"
        raise Refused(f"--lose {text}: wanted SITE@ROUND, {wanted}")
    return site, int(number)


@contextmanager
def _resume_hint(folder: Path) -> Iterator[None]:
    """On Ctrl-C print the command that continues the run."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"stopped; `brainct resume {folder}` continues after the last closed round", file=sys.stderr)
        raise typer.Exit(130) from None


def _new_folder(parent: Path, name: str) -> Path:
    """The first of NAME-1, NAME-2, ... that does not exist."""
    number = 1
    while (parent / f"{name}-{number}").exists():
        number += 1
    return parent / f"{name}-{number}"

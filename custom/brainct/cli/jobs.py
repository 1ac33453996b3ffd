"""`brainct jobs ...`: write and check the job folders."""

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Write or check the job folders.", no_args_is_help=True)
JobsFolder = Annotated[Path, typer.Option(help="Folder of the job folders.")]


@app.command()
def render(
    folder: JobsFolder = Path("jobs"),
    dims: Annotated[
        int | None, typer.Option(min=2, max=3, help="Samples of all jobs on scans: slices (2) or volumes (3).")
    ] = None,
    size: Annotated[int | None, typer.Option(min=16, max=1024, help="Edge of the samples in pixels.")] = None,
) -> None:
    """Write all job folders from the registry of schemes and the table JOBS.

    With --dims or --size those on scans alone, in that shape: name another --folder than jobs, which stays as it is.
    """
    from brainct.errors import Refused
    from brainct.job import folders

    rows = folders.shaped(dims, size)
    if rows is not folders.JOBS and folder.resolve() == Path("jobs").resolve():
        raise Refused("jobs/ holds the jobs as they are shipped; name another folder for yours, such as --folder mine")
    written = folders.render(folder, rows)
    for path in written:
        print(path)
    print(f"{len(rows)} jobs, {len(written)} files written")


@app.command("start-from")
def start_from(
    job: Annotated[Path, typer.Argument(help="A job folder, such as jobs/fedavg.")],
    source: Annotated[str, typer.Argument(help="`phantom`, the results folder of a run, or a model.safetensors.")],
    out: Annotated[Path, typer.Option(help="The new job folder.")],
) -> None:
    """Write a job folder that starts from a model: the model's file travels in it, its hash is in the configuration."""
    from brainct.job import copies, folders
    from brainct.run import start_model

    plan = folders.read(job)
    start, file = start_model.named(source, plan)
    copies.starting(job, start, file.read_bytes() if file else b"", out)
    found = start_model.start_of(folders.read(out), folders.start_file(out))
    assert found is not None
    for note in found.notes:
        print(f"note: {note}")
    last = found.started.lineage[-1]
    print(f"{out}: starts from {found.started.name or last.source}, SHA-256 {last.sha256}")


@app.command()
def check(folder: JobsFolder = Path("jobs")) -> None:
    """Check that the job folders, docs/schemes.md and docs/privacy.md match the registry; exit code 1 if not."""
    from brainct.catalogue import schemes_page
    from brainct.job import folders

    differences = folders.check(folder)
    docs = folder.resolve().parent / "docs"
    if (docs / "schemes.md").is_file():
        differences += schemes_page.check_docs(docs)
    for difference in differences:
        print(difference, file=sys.stderr)
    if differences:
        raise typer.Exit(1)
    print(f"{len(folders.JOBS)} jobs match the registry")

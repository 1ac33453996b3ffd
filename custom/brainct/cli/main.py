"""`brainct ...`: rehearse a job, render and check jobs, look at a site's scans."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from brainct.cli import kits, runs, site
from brainct.cli.barriers import barriers
from brainct.cli.compare import compare
from brainct.cli.leakage import leakage_app
from brainct.cli.ledger import ledger_app
from brainct.cli.predict import predict
from brainct.cli.privacy import privacy
from brainct.cli.report import report
from brainct.cli.resume import resume
from brainct.cli.submit import submit
from brainct.errors import Refused

app = typer.Typer(help="Hospitals train one CT brain model together on NVIDIA FLARE.", no_args_is_help=True)
jobs_app = typer.Typer(help="The job folders.", no_args_is_help=True)
app.add_typer(jobs_app, name="jobs")
app.add_typer(runs.app, name="runs")
app.command()(resume)
app.command()(privacy)
app.command()(compare)
app.add_typer(ledger_app, name="ledger")
app.add_typer(leakage_app, name="leakage")
app.command()(barriers)
app.command()(report)
app.add_typer(kits.app, name="kits")
app.add_typer(site.app, name="site")
app.command()(submit)

JobFolder = Annotated[Path, typer.Argument(help="A job folder, such as jobs/feddc.")]
JobsFolder = Annotated[Path, typer.Option(help="The folder that holds the jobs.")]


@app.command()
def rehearse(
    job: JobFolder,
    sites: Annotated[
        int, typer.Option(help="Number of sites: site-1 ... site-N, as FLARE's simulator names them.")
    ] = 4,
    names: Annotated[str | None, typer.Option(help="Names of the sites in place of --sites, joined by commas.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds, in place of the job's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed, in place of the job's.")] = None,
    workers: Annotated[int, typer.Option(help="Processes to train in; the result is the same to the bit.")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="A new folder for the results. (default: runs/JOB-SEED-NUMBER)")
    ] = None,
    init: Annotated[Path | None, typer.Option(help="A model.safetensors to start from.")] = None,
    lose: Annotated[list[str] | None, typer.Option(help="Lose a site's reply on purpose: site-2@3 is round 3.")] = None,
) -> None:
    """Run a job folder in this process: the same scheme, learner, record and model hash as under FLARE."""
    from brainct.cli.progress import Progress
    from brainct.core.names import names_of, site_names
    from brainct.job import folders
    from brainct.job.config import plan_of
    from brainct.run.model_file import load_model
    from brainct.run.rehearse import rehearse as run
    from brainct.run.summary import last_lines

    plan = folders.read(job)
    changes = {key: value for key, value in (("rounds", rounds), ("seed", seed)) if value is not None}
    plan = plan_of({**plan.model_dump(), **changes}, "the command line")
    folder = out or _free(Path("runs"), f"{job.resolve().name}-{plan.seed}")
    named = names_of(names) if names else site_names(sites)
    with Progress(plan.rounds) as progress, _resumable(folder):
        record = run(
            plan,
            named,
            folder,
            workers=workers,
            initial=load_model(init) if init else None,
            lose=[_loss(text, named, plan.rounds) for text in lose or []],
            secret=os.environ.get("BRAINCT_SECRET", ""),
            log=progress.log,
            closed=progress.closed,
        )
    print(last_lines(record.record, folder))


@app.command()
def data(
    site_file: Annotated[Path | None, typer.Argument(help="A site file; without one, what BRAINCT_SITE names.")] = None,
    site: Annotated[str, typer.Option(help="The site's name.")] = "site-1",
    sites: Annotated[int, typer.Option(help="For a dealt data set: the number of sites.")] = 4,
    size: Annotated[int, typer.Option(help="Edge of the network's input in pixels.", min=1)] = 96,
    dims: Annotated[int, typer.Option(help="2 or 3 dimensions.", min=2, max=3)] = 2,
    public: Annotated[bool, typer.Option("--public", help="Also read the public set.")] = False,
) -> None:
    """Read a site's scans as a run would, and say what was found: counts, classes, what to mend."""
    from brainct.core.names import site_names
    from brainct.ct.dataset import open_site
    from brainct.ct.site_config import read_site_file
    from brainct.ct.workload import CT
    from brainct.site.agent import site_file_of

    path = site_file or site_file_of(None)
    scans = open_site(read_site_file(path) if path else None, site, site_names(sites), size, dims)
    about = CT.describe(scans, public)
    print(f"{site}: {about['kind']}, fingerprint {about['fingerprint'][:16]}")
    for note in about["notes"]:
        print(f"  note: {note}")
    for fold, counts in about["folds"].items():
        known = [name for name in counts["positives"] if counts["positives"][name] + counts["negatives"][name]]
        classes = ", ".join(f"{name} {counts['positives'][name]}+/{counts['negatives'][name]}-" for name in known)
        print(f"  {fold}: {counts['scans']} scans; {classes or 'no label'}")
    if public:
        print(f"  public: {about['public']['scans']} scans, fingerprint {about['public']['fingerprint'][:16]}")


@app.command()
def schemes(
    write: Annotated[bool, typer.Option(help="Write docs/schemes.md and docs/rounds instead.")] = False,
    docs: Annotated[Path, typer.Option(help="The folder of the docs.")] = Path("docs"),
) -> None:
    """List the schemes: paper and family, bytes to and from a site in a round, what a site keeps, arguments."""
    from rich.console import Console
    from rich.table import Table

    from brainct.catalogue import schemes_page
    from brainct.schemes import SCHEMES, about

    if write:
        schemes_page.write(docs)
        return
    table = Table("scheme", "paper; family", "bytes to / from a site", "a site keeps", "arguments", show_lines=True)
    for name, make in sorted(SCHEMES.items()):
        row = about(name)
        arguments = "\n".join(f"{key}={value}" for key, value in make().arguments.items())
        table.add_row(name, f"{row.paper}; {row.family}", schemes_page.bytes_of(name), row.keeps, arguments)
    console = Console(width=120)
    console.print(table, markup=False, highlight=False)
    print("bytes: a round of the scheme's job, the mean over 5 sites and 5 rounds of a dry run")


app.command()(predict)


@jobs_app.command()
def render(folder: JobsFolder = Path("jobs")) -> None:
    """Write all job folders from the registry and the table in jobs.py."""
    from brainct.job import folders

    written = folders.render(folder)
    for path in written:
        print(path)
    print(f"{len(folders.JOBS)} jobs, {len(written)} files written")


@jobs_app.command()
def check(folder: JobsFolder = Path("jobs")) -> None:
    """Say whether the job folders, docs/schemes.md and docs/rounds are as the registry says; exit code 1 if not."""
    from brainct.catalogue import schemes_page
    from brainct.job import folders

    findings = folders.check(folder)
    docs = folder.resolve().parent / "docs"
    if (docs / "schemes.md").is_file():
        findings += schemes_page.check(docs)
    for finding in findings:
        print(finding, file=sys.stderr)
    if findings:
        raise typer.Exit(1)
    print(f"{len(folders.JOBS)} jobs are as the registry says")


def _loss(text: str, sites: Sequence[str], rounds: int) -> tuple[str, int]:
    site, _, number = text.rpartition("@")
    if site not in sites or not number.isdigit() or int(number) >= rounds:
        wanted = f"one of the sites {', '.join(sites)} and of the rounds 0 to {rounds - 1}, such as {sites[0]}@0"
        raise Refused(f"--lose {text}: wanted SITE@ROUND, {wanted}")
    return site, int(number)


@contextmanager
def _resumable(folder: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        print(f"stopped; `brainct resume {folder}` goes on after the last closed round", file=sys.stderr)
        raise typer.Exit(130) from None


def _free(parent: Path, name: str) -> Path:
    """The first folder name-1, name-2, ... that is not there yet."""
    number = 1
    while (parent / f"{name}-{number}").exists():
        number += 1
    return parent / f"{name}-{number}"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; a refusal is printed as one sentence and ends with exit code 2."""
    try:
        app(args=list(arguments) if arguments is not None else None)
    except Refused as error:
        print(f"brainct: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:  # a folder that nobody may write to, a full disk, a file where a folder was meant
        print(f"brainct: {error.filename or 'the system'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

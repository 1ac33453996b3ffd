"""`brainct ...`: puts the commands together and turns errors into one line and an exit code."""

import sys
from collections.abc import Sequence

import typer

from brainct.cli import data, jobs, kits, model, runs, site
from brainct.cli.backup import backup, restore
from brainct.cli.barriers import barriers
from brainct.cli.compare import compare
from brainct.cli.cross import cross
from brainct.cli.leakage import leakage_app
from brainct.cli.ledger import ledger_app
from brainct.cli.metrics import metrics
from brainct.cli.paper import paper
from brainct.cli.predict import predict
from brainct.cli.privacy import privacy
from brainct.cli.rehearse import rehearse
from brainct.cli.report import report
from brainct.cli.resume import resume
from brainct.cli.schemes import schemes
from brainct.cli.simulate import simulate
from brainct.cli.submit import submit
from brainct.errors import Refused

app = typer.Typer(help="Hospitals train one CT brain model together on NVIDIA FLARE.", no_args_is_help=True)
COMMANDS = (
    rehearse,
    simulate,
    resume,
    submit,
    predict,
    schemes,
    compare,
    barriers,
    cross,
    report,
    privacy,
    metrics,
    backup,
    restore,
    paper,
)
for command in COMMANDS:
    app.command()(command)
for name, group in (
    ("data", data.app),
    ("jobs", jobs.app),
    ("runs", runs.app),
    ("kits", kits.app),
    ("model", model.app),
    ("site", site.app),
    ("ledger", ledger_app),
    ("leakage", leakage_app),
):
    app.add_typer(group, name=name)


WINDOWS = (
    "brainct: this is Windows, where FLARE's start scripts and brainct's file locks do not work; run it on Linux, or "
    "in WSL 2 on this machine (`wsl --install`)"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; a refusal or an error of the system prints one line and exits with code 2."""
    if sys.platform == "win32":
        print(WINDOWS, file=sys.stderr)
        sys.exit(2)
    try:
        app(args=list(arguments) if arguments is not None else None)
    except Refused as error:
        print(f"brainct: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:  # no permission, a full disk, a file where a folder is wanted
        print(f"brainct: {error.filename or 'the system'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(2)

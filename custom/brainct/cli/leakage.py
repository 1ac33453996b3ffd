"""`brainct leakage`: what attacks learn from a federation's models, reports and votes."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from brainct.errors import Refused

leakage_app = typer.Typer(help="What attacks learn from models, reports and votes.")


@leakage_app.callback(invoke_without_command=True)
def leakage(
    context: typer.Context,
    plan: Annotated[Path | None, typer.Option(help="A study file; see docs/leakage.md.")] = None,
    out: Annotated[Path, typer.Option(help="Output folder; an existing ledger.jsonl is resumed.")] = Path(
        "runs/leakage"
    ),
    workers: Annotated[int, typer.Option(help="Federations at a time, each in a process with one thread.")] = 2,
    accept: Annotated[
        list[str] | None, typer.Option(help="Count rows of this older code as done: the beginning of its hash.")
    ] = None,
) -> None:
    """Train shadow federations and attack them; the same command resumes a stopped study."""
    if context.invoked_subcommand is not None:
        return
    from brainct.core import serialization
    from brainct.leakage.leakage_report import CRAFTED
    from brainct.leakage.shadow_training import train_missing, try_crafted_networks
    from brainct.leakage.study import read_study

    if plan is None:
        raise Refused("no study file: wanted --plan FILE (see docs/leakage.md), or `brainct leakage show FOLDER`")
    study = read_study(plan)
    try:
        failures = train_missing(study, out, workers, accept or (), _log)
        serialization.write(out / CRAFTED, json.dumps(try_crafted_networks(study), indent=1).encode())
    except KeyboardInterrupt:
        _log(f"stopped; finished federations are in {out}, and the same command resumes from there")
        raise typer.Exit(130) from None
    show(out)
    if failures:
        _log(f"{failures} federations failed; the ledger states the reasons, and the same command tries them again")
        raise typer.Exit(1)


@leakage_app.command()
def show(folder: Annotated[Path, typer.Argument(help="The folder of a ledger.jsonl.")]) -> None:
    """Print the tables of a folder, and write table.md, leakage.html and its pictures next to the ledger."""
    from brainct.cli.extras import require_charts

    require_charts()
    from brainct.leakage.leakage_report import write_tables_and_page

    print(write_tables_and_page(folder))


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

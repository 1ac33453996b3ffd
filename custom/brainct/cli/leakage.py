"""`brainct leakage`: attacks on what a federation gives away, and what they gain."""

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
    plan: Annotated[Path | None, typer.Option(help="A plan.yaml; see docs/leakage.md.")] = None,
    out: Annotated[Path, typer.Option(help="The folder of ledger.jsonl; one that is there is gone on with.")] = Path(
        "runs/leakage"
    ),
    workers: Annotated[int, typer.Option(help="Federations at a time, each in a process with one thread.")] = 2,
    accept: Annotated[
        list[str] | None, typer.Option(help="Count rows of this older code as done: the beginning of its hash.")
    ] = None,
) -> None:
    """Train shadow federations and attack them; started again, it goes on where it was."""
    if context.invoked_subcommand is not None:
        return
    from brainct.core import serialization
    from brainct.leakage.design import read_study
    from brainct.leakage.show import CRAFTED
    from brainct.leakage.study import attempt, measure

    if plan is None:
        raise Refused("no plan: wanted --plan FILE (see docs/leakage.md), or `brainct leakage show FOLDER`")
    study = read_study(plan)
    try:
        failures = measure(study, out, workers, accept or (), _tell)
        serialization.write(out / CRAFTED, json.dumps(attempt(study), indent=1).encode())
    except KeyboardInterrupt:
        _tell(f"stopped; what had finished is in {out}, and the same command goes on from there")
        raise typer.Exit(130) from None
    show(out)
    if failures:
        _tell(f"{failures} federations failed; the reasons are in the ledger, and the same command tries them again")
        raise typer.Exit(1)


@leakage_app.command()
def show(folder: Annotated[Path, typer.Argument(help="The folder of a ledger.jsonl.")]) -> None:
    """Print the tables of a folder, and write table.md, leakage.html and its pictures beside the ledger."""
    from brainct.leakage.show import write

    print(write(folder))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

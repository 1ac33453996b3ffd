"""`brainct ledger ...`: add runs to a ledger, join ledgers."""

from pathlib import Path
from typing import Annotated

import typer

ledger_app = typer.Typer(help="The ledger of a comparison.", no_args_is_help=True)
Ledger = Annotated[Path, typer.Option(help="The ledger.jsonl to add to; made where there is none.")]


@ledger_app.command()
def add(
    records: Annotated[list[Path], typer.Argument(help="record.json files, or folders of runs.")],
    ledger: Ledger,
    federation: Annotated[str, typer.Option(help="What the tables call the federation. (default: way, sites)")] = "",
    name: Annotated[str, typer.Option(help="What the tables call the runs. (default: the scheme)")] = "",
) -> None:
    """Add runs of the simulator, of POC, of hospitals or rehearsed ones; a run that is there already is not added."""
    from brainct.compare.import_runs import add as add_records

    added, there = add_records(records, ledger, federation, name)
    print(f"{added} runs added to {ledger}, {there} were there already")


@ledger_app.command()
def join(
    ledgers: Annotated[list[Path], typer.Argument(help="Ledgers, such as those of two machines.")],
    out: Annotated[Path, typer.Option(help="A new file for all their rows, each run once.")],
) -> None:
    """Join ledgers into a new one, each run once; `cat` does as well, for every reader leaves repetitions out."""
    from brainct.compare.ledger import append, concatenated
    from brainct.errors import Refused

    if out.exists():
        raise Refused(f"{out} is there already; name a new file")
    if missing := [str(path) for path in ledgers if not path.is_file()]:
        raise Refused(f"no ledger at {', '.join(missing)}; correct the path")
    rows = concatenated(ledgers)
    for row in rows:
        append(out, row)
    print(f"{len(rows)} runs in {out}")

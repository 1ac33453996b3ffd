"""`brainct ledger ...`: add runs to a ledger, join ledgers."""

from pathlib import Path
from typing import Annotated

import typer

ledger_app = typer.Typer(help="The ledger of a comparison.", no_args_is_help=True)
Ledger = Annotated[Path, typer.Option(help="The ledger.jsonl to add to; created if it does not exist.")]


@ledger_app.command()
def add(
    records: Annotated[list[Path], typer.Argument(help="record.json files, or folders of runs.")],
    ledger: Ledger,
    federation: Annotated[
        str, typer.Option(help="Name of the federation in the tables. (default: backend and sites)")
    ] = "",
    name: Annotated[str, typer.Option(help="Name of the runs in the tables. (default: the scheme)")] = "",
) -> None:
    """Add runs of any backend (rehearsal, simulator, POC, real hospitals); a run is never added twice."""
    from brainct.compare.import_runs import add as add_records

    added, known = add_records(records, ledger, federation, name)
    print(f"{added} runs added to {ledger}, {known} were in it already")


@ledger_app.command()
def join(
    ledgers: Annotated[list[Path], typer.Argument(help="Ledgers, such as those of two machines.")],
    out: Annotated[Path, typer.Option(help="A new file for all their rows, each run once.")],
) -> None:
    """Join ledgers into a new one, each run once; `cat` works too, since all readers skip repeated runs."""
    from brainct.compare.ledger import append_row, join_ledgers
    from brainct.errors import Refused

    if out.exists():
        raise Refused(f"{out} exists already; name a new file")
    if missing := [str(path) for path in ledgers if not path.is_file()]:
        raise Refused(f"no ledger at {', '.join(missing)}; correct the path")
    rows = join_ledgers(ledgers)
    for row in rows:
        append_row(out, row)
    print(f"{len(rows)} runs in {out}")

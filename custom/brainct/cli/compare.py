"""`brainct compare`: schemes against each other, over seeds and federations."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from brainct.errors import Refused


def compare(
    plan: Annotated[Path | None, typer.Option(help="A plan.yaml, or a plan of plans; see docs/compare.md.")] = None,
    out: Annotated[Path, typer.Option(help="The folder of ledger.jsonl; one that is there is gone on with.")] = Path(
        "runs/compare"
    ),
    schemes: Annotated[str, typer.Option(help="Without a plan: names of schemes, joined by commas.")] = "",
    seeds: Annotated[int | None, typer.Option(help="Seeds 1 to N, in place of the plan's.")] = None,
    sites: Annotated[int | None, typer.Option(help="Without a plan: sites (default: 8).")] = None,
    scans: Annotated[int | None, typer.Option(help="Without a plan: training scans a site (default: 16).")] = None,
    skew: Annotated[
        str | None, typer.Option(help="Without a plan: iid, or any of scanner, label, size (default: scanner).")
    ] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds, in place of the plan's.")] = None,
    workers: Annotated[int, typer.Option(help="Runs at a time, each in a process with one thread.")] = 2,
    accept: Annotated[
        list[str] | None, typer.Option(help="Count rows of this older code as done: the beginning of its hash.")
    ] = None,
    table: Annotated[bool, typer.Option(help="Run nothing; write table.md from the ledger as it is.")] = False,
) -> None:
    """Run schemes x seeds x federations, one line in ledger.jsonl a run; started again, it goes on where it was."""
    from brainct.compare import markdown as tables
    from brainct.compare.campaign import LEDGER, compare
    from brainct.compare.design import design_of, read_designs
    from brainct.compare.ledger import read

    federation = {
        name: value for name, value in (("sites", sites), ("scans", scans), ("skew", skew)) if value is not None
    }
    if plan is not None and (schemes or federation):
        said = ", ".join(f"--{name}" for name in (*(["schemes"] if schemes else []), *federation))
        raise Refused(f"{said} beside --plan, which says that itself; change the plan, or leave one of the two out")
    if plan is not None:
        given = [(folder, design.model_dump()) for folder, design in read_designs(plan)]
    else:
        names = [name for name in schemes.split(",") if name]
        given = [("", {"schemes": names, "federations": [federation]})]
    if table and not any((out / folder / LEDGER).is_file() for folder, _ in given):
        raise Refused(f"no {LEDGER} below {out}; correct --out, or run the comparison first")
    changes = {name: value for name, value in (("seeds", seeds), ("rounds", rounds)) if value is not None}
    whose = plan.name if plan else "the command line"
    designs = [(out / folder, design_of({**design, **changes}, whose)) for folder, design in given]
    failures = 0
    if not table:
        for folder, design in designs:
            try:
                failures += compare(design, folder, workers, accept or (), _tell)
            except KeyboardInterrupt:
                _tell(f"stopped; what had finished is in {folder / LEDGER}, and the same command goes on from there")
                raise typer.Exit(130) from None
    for folder in dict.fromkeys(folder for folder, _ in designs):
        print(tables.write(read(folder / LEDGER), folder))
    if failures:
        _tell(f"{failures} runs failed; the reasons are in {LEDGER}, and the same command tries them again")
        raise typer.Exit(1)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

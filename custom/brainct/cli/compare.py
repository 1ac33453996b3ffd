"""`brainct compare`: schemes against each other, over seeds and federations."""

import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from brainct.errors import Refused

if TYPE_CHECKING:
    from brainct.compare.comparison import Comparison

Comparisons = list[tuple[Path, "Comparison"]]
"""Each with the folder of its ledger."""


def compare(
    plan: Annotated[
        Path | None, typer.Option(help="A comparison file, or a list of such files; see docs/compare.md.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Output folder; an existing ledger.jsonl is resumed.")] = Path(
        "runs/compare"
    ),
    schemes: Annotated[str, typer.Option(help="Without a comparison file: names of schemes, joined by commas.")] = "",
    seeds: Annotated[int | None, typer.Option(help="Seeds 1 to N, instead of the file's.")] = None,
    sites: Annotated[int | None, typer.Option(help="Without a comparison file: sites (default: 8).")] = None,
    scans: Annotated[
        int | None, typer.Option(help="Without a comparison file: training scans a site (default: 16).")
    ] = None,
    skew: Annotated[
        str | None,
        typer.Option(help="Without a comparison file: iid, or any of scanner, label, size (default: scanner)."),
    ] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds, instead of the file's.")] = None,
    workers: Annotated[int, typer.Option(help="Runs at a time, each in a process with one thread.")] = 2,
    cluster: Annotated[
        str | None,
        typer.Option(help="Do the runs with Dask: tcp://HOST:PORT of its scheduler, local, or slurm (--workers jobs)."),
    ] = None,
    accept: Annotated[
        list[str] | None, typer.Option(help="Count rows of this older code as done: the beginning of its hash.")
    ] = None,
    table: Annotated[bool, typer.Option(help="Run nothing; write table.md from the ledger as it is.")] = False,
) -> None:
    """Run schemes x seeds x federations, one line in ledger.jsonl a run; the same command resumes a stopped one."""
    federation = {
        name: value for name, value in (("sites", sites), ("scans", scans), ("skew", skew)) if value is not None
    }
    changes = {name: value for name, value in (("seeds", seeds), ("rounds", rounds)) if value is not None}
    comparisons = _read_comparisons(plan, schemes, federation, changes, out)
    failures = 0 if table else _run_all(comparisons, workers, accept or (), cluster)
    _print_tables(comparisons, out, table)
    if failures:
        _log(f"{failures} runs failed; ledger.jsonl states the reasons, and the same command tries them again")
        raise typer.Exit(1)


def _read_comparisons(
    plan: Path | None, schemes: str, federation: dict[str, Any], changes: dict[str, Any], out: Path
) -> Comparisons:
    from brainct.compare.comparison_file import comparison_of, read_comparisons

    if plan is None:
        names = [name for name in schemes.split(",") if name]
        return [(out, comparison_of({"schemes": names, "federations": [federation], **changes}, "the command line"))]
    if schemes or federation:
        given = ", ".join(f"--{name}" for name in (*(["schemes"] if schemes else []), *federation))
        raise Refused(f"got {given} together with --plan, which states the same; change the file, or omit one of both")
    return [
        (out / folder, comparison_of({**one.model_dump(), **changes}, plan.name))
        for folder, one in read_comparisons(plan)
    ]


def _run_all(comparisons: Comparisons, workers: int, accept: Collection[str], cluster: str | None) -> int:
    """Returns how many runs failed."""
    from brainct.compare.campaign import compare as do_runs
    from brainct.compare.ledger import LEDGER

    failures = 0
    for folder, comparison in comparisons:
        try:
            failures += do_runs(comparison, folder, workers, accept, _log, cluster)
        except KeyboardInterrupt:
            _log(f"stopped; finished runs are in {folder / LEDGER}, and the same command resumes from there")
            raise typer.Exit(130) from None
    return failures


def _print_tables(comparisons: Comparisons, out: Path, only_existing: bool) -> None:
    from brainct.compare.ledger import LEDGER, read_rows
    from brainct.compare.markdown import write_tables
    from brainct.report.tolerant import cleaned

    folders = list(dict.fromkeys(folder for folder, _ in comparisons))
    if only_existing and not any((folder / LEDGER).is_file() for folder in folders):
        raise Refused(f"no {LEDGER} below {out}; correct --out, or run the comparison first")
    for folder in folders:
        print(write_tables(read_rows(folder / LEDGER, prepare=cleaned), folder))


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

"""`brainct report`."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    what: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of runs, one ledger.jsonl, or the folder of a study of leakage.", metavar="RUN...|LEDGER"
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The page to write. (default: report.html in the run, reports.html for several)")
    ] = None,
) -> None:
    """Write one self-contained HTML page, and its pictures beside it, of a run, of several runs, or of a ledger."""
    from brainct.leakage import show
    from brainct.report.build import report as make

    page, *pictures = show.report(what[0], out) if len(what) == 1 and show.is_one(what[0]) else make(what, out)
    print(f"{page} ({page.stat().st_size / 1e6:.1f} MB)")
    if pictures:
        print(f"{len(pictures)} pictures in {pictures[0].parent}")

"""`brainct report`."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of runs, one ledger.jsonl, or the folder of a study of leakage.", metavar="RUN...|LEDGER"
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The page to write. (default: report.html in the run, reports.html for several)")
    ] = None,
) -> None:
    """Write one self-contained HTML page, and its pictures next to it, of a run, of several runs, or of a ledger."""
    from brainct.cli.extras import require_charts

    require_charts()
    from brainct.leakage.leakage_report import is_leakage_folder, write_leakage_page
    from brainct.report.build import report as write_report

    if len(sources) == 1 and is_leakage_folder(sources[0]):
        page, *pictures = write_leakage_page(sources[0], out)
    else:
        page, *pictures = write_report(sources, out)
    print(f"{page} ({page.stat().st_size / 1e6:.1f} MB)")
    if pictures:
        print(f"{len(pictures)} pictures in {pictures[0].parent}")

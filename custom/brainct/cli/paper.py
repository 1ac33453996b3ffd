"""`brainct paper`: a sheet for the data protection officer and the ethics board."""

from pathlib import Path
from typing import Annotated

import typer


def paper(
    kit: Annotated[Path, typer.Argument(help="The hospital's kit.")],
    run: Annotated[Path, typer.Argument(help="The folder of a run's results, or its record.json.")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("data-protection.html"),
) -> None:
    """Write a data protection sheet: data flow, what leaves, threats, retention, withdrawal of a patient."""
    from brainct.kit.paper import write_paper

    page, *_ = write_paper(kit, run, out)
    print(f"{page} ({page.stat().st_size / 1e3:.0f} kB); the hospital fills in legal bases, the page leaves them open")

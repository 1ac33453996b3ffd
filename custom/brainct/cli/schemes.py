"""`brainct schemes`: the table of schemes."""

from pathlib import Path
from typing import Annotated

import typer


def schemes(
    write: Annotated[bool, typer.Option(help="Write docs/schemes.md and docs/rounds instead.")] = False,
    docs: Annotated[Path, typer.Option(help="Folder of the docs.")] = Path("docs"),
) -> None:
    """List the schemes: paper, family, bytes per site and round, client state, arguments."""
    from rich.console import Console
    from rich.table import Table

    from brainct.catalogue import schemes_page
    from brainct.schemes import SCHEMES, about

    if write:
        schemes_page.write(docs)
        return
    table = Table("scheme", "paper; family", "bytes to / from a site", "client state", "arguments", show_lines=True)
    for name, make in sorted(SCHEMES.items()):
        row = about(name)
        arguments = "\n".join(f"{key}={value}" for key, value in make().arguments.items())
        table.add_row(name, f"{row.paper}; {row.family}", schemes_page.bytes_of(name), row.keeps, arguments)
    Console(width=120).print(table, markup=False, highlight=False)
    print("bytes: of one round of the scheme's job, mean over 5 sites and 5 rounds of a dry run")

"""`brainct schemes`: the table of schemes, or one of them in full."""

import json
from pathlib import Path
from typing import Annotated

import typer


def schemes(
    name: Annotated[str, typer.Argument(help="One scheme, to be shown in full.")] = "",
    schema: Annotated[bool, typer.Option(help="Show the JSON schema of the scheme's arguments.")] = False,
    write: Annotated[bool, typer.Option(help="Write the generated pages of the docs instead.")] = False,
    workload: Annotated[str, typer.Option(help="Say which schemes run on this workload, and why others do not.")] = "",
    docs: Annotated[Path, typer.Option(help="Folder of the docs.")] = Path("docs"),
) -> None:
    """List the schemes with the bytes to and from a site in a round, or show one of them."""
    from rich.console import Console
    from rich.table import Table

    from brainct.catalogue import schemes_page
    from brainct.core.scheme import arguments_schema
    from brainct.schemes import SCHEMES, about, factory_of

    if write:
        from brainct.catalogue import round_bytes

        round_bytes.write()
        schemes_page.write_docs(docs)
        return
    if workload:
        from brainct.catalogue.fitting import fitting

        for one, verdict in fitting(workload).items():
            print(f"{one}: {verdict}")
        return
    if name:
        factory = factory_of(name)
        print(json.dumps(arguments_schema(factory), indent=2) if schema else schemes_page.block(name))
        return
    table = Table(
        "scheme", "in one sentence; family", "bytes to / from a site", "client state", "arguments", show_lines=True
    )
    for one, make in sorted(SCHEMES.items()):
        row = about(one)
        arguments = "\n".join(f"{key}={value}" for key, value in make().arguments.items())
        table.add_row(one, f"{row.summary} ({row.family})", _bytes(one), row.client_state, arguments)
    Console(width=120).print(table, markup=False, highlight=False)
    print("bytes: of one round of the scheme's job, mean over 5 sites and 5 rounds of a dry run")


def _bytes(name: str) -> str:
    """The bytes, or why they are not known here: a scheme may need an optional part of the installation."""
    from brainct.catalogue.schemes_page import bytes_of
    from brainct.errors import Refused

    try:
        return bytes_of(name)
    except Refused as error:
        return str(error)

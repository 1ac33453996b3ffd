"""`brainct site ...`: what a hospital's engineer looks at before a run."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="At a site, before a run.", no_args_is_help=True)


@app.command()
def check(
    kit: Annotated[Path, typer.Argument(help="This site's startup kit: the folder with startup/ and local/.")],
    require: Annotated[str | None, typer.Option(help="The VERSION-HASH on which the federation agreed.")] = None,
    out: Annotated[Path | None, typer.Option(help="A folder for check.json and check.html.")] = None,
    connect: Annotated[bool, typer.Option(help="Try to reach the server.")] = True,
) -> None:
    """Say PASS, WARN or FAIL for kit, policy, certificate, package, scans, machine and server; exit code 1 on FAIL.

    The verdict stays in the kit, and the record of each run of this site repeats it.
    """
    from brainct.kit import check

    findings = check.check(kit, require, connect)
    check.leave(findings, kit)
    print(check.as_text(findings))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "check.json").write_text(check.as_json(findings))
        (out / "check.html").write_text(check.as_html(findings))
    if check.worst(findings) == "FAIL":
        raise typer.Exit(1)


@app.command()
def package() -> None:
    """Print the installed package's VERSION-HASH, which every site of a federation compares."""
    from brainct.core.version import fingerprint

    print(fingerprint())

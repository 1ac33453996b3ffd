"""`brainct site ...`: what a site's engineer runs before a run."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Check a site before a run.", no_args_is_help=True)


@app.command()
def check(
    kit: Annotated[Path, typer.Argument(help="This site's startup kit: the folder with startup/ and local/.")],
    require: Annotated[str | None, typer.Option(help="VERSION-HASH on which the federation agreed.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for check.json and check.html.")] = None,
    connect: Annotated[bool, typer.Option(help="Try to reach the server.")] = True,
) -> None:
    """Check kit, policy, certificate, package, scans, machine and server: PASS, WARN or FAIL; exit code 1 on FAIL.

    The verdict is saved in the kit; the record of each run of this site repeats it.
    """
    from brainct.kit.check import check_kit
    from brainct.kit.check_page import as_html, as_json, print_results
    from brainct.kit.verdict import save_verdict, worst

    results = check_kit(kit, require, connect)
    save_verdict(results, kit)
    print_results(results)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "check.json").write_text(as_json(results))
        (out / "check.html").write_text(as_html(results))
    if worst(results) == "FAIL":
        raise typer.Exit(1)


@app.command()
def package() -> None:
    """Print the VERSION-HASH of the installed package; it must be equal at every site of a federation."""
    from brainct.core.version import fingerprint

    print(fingerprint())

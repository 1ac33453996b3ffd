"""`brainct kits ...`: FLARE's startup kits and the policies in them."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="FLARE's startup kits.", no_args_is_help=True)


@app.command()
def lay(
    folder: Annotated[Path, typer.Argument(help="A kit, or the prod_NN folder that holds several.")],
    policy: Annotated[Path, typer.Option(help="The templates.")] = Path("provisioning/policy"),
    replace: Annotated[bool, typer.Option(help="Also replace files that differ; the former is kept beside.")] = False,
    privacy: Annotated[
        str, typer.Option(help="A hospital's privacy policy: open, standard or strict (docs/privacy.md).")
    ] = "standard",
) -> None:
    """Lay the policy into each kit's local/: what a job may build, who may do what, where logs and jobs lie."""
    from brainct.kit import policy_files

    for line in policy_files.lay(folder, policy, replace, privacy):
        print(line)

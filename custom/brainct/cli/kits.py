"""`brainct kits ...`: install policies in FLARE's startup kits."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="FLARE's startup kits.", no_args_is_help=True)


@app.command()
@app.command("lay", hidden=True, deprecated=True)  # its name in version 0.1
def install(
    folder: Annotated[Path, typer.Argument(help="A startup kit, or a prod_NN folder with several.")],
    policy: Annotated[Path, typer.Option(help="Folder of the policy templates.")] = Path("provisioning/policy"),
    replace: Annotated[
        bool, typer.Option(help="Replace files that differ; the previous file becomes NAME.before.")
    ] = False,
    privacy: Annotated[
        str, typer.Option(help="Privacy policy of a hospital: open, standard or strict (docs/privacy.md).")
    ] = "standard",
) -> None:
    """Install the policy in each kit's local/: classes that a job may build, rights, privacy, logs and storage."""
    from brainct.kit import policy_files

    for line in policy_files.install_policy(folder, policy, replace, privacy):
        print(line)

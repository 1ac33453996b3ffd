"""`brainct kits ...`: install policies in FLARE's startup kits."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="FLARE's startup kits.", no_args_is_help=True)


@app.command()
@app.command("lay", hidden=True, deprecated=True)  # its name in version 0.1
def install(
    folder: Annotated[Path, typer.Argument(help="A startup kit, or a prod_NN folder with several.")],
    policy: Annotated[
        Path | None, typer.Option(help="Folder of the policy templates. (default: those of the package)")
    ] = None,
    replace: Annotated[
        bool, typer.Option(help="Replace files that differ; the previous file becomes NAME.before.")
    ] = False,
    privacy: Annotated[
        str, typer.Option(help="Privacy policy of a hospital: open, standard or strict (docs/privacy.md).")
    ] = "standard",
) -> None:
    """Install the policy in each kit's local/: classes that a job may build, rights, privacy, logs and storage."""
    from brainct.kit import authority, formats, policy_files

    for name, kit in policy_files.kits_in(folder).items():
        for step in formats.migrate(kit) if policy_files.kind_of(kit) in ("server", "hospital") else []:
            print(f"{name}: {step}")
    lines = policy_files.install_policy(folder, policy or policy_files.POLICY, replace, privacy)
    for line in [*lines, *authority.protect_next_to(folder)]:
        print(line)


@app.command()
def renew(
    names: Annotated[
        list[str] | None, typer.Argument(help="Sites, people or the server; --all for all of them.")
    ] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Renew every certificate of the project.")] = False,
    project: Annotated[Path, typer.Option(help="The project.yml of the provisioning.")] = Path(
        "provisioning/project.yml"
    ),
    workspace: Annotated[Path, typer.Option(help="The folder that `nvflare provision -w` named.")] = Path("kits"),
    out: Annotated[Path, typer.Option(help="Folder for the archives to send.")] = Path("sent"),
) -> None:
    """Issue new certificates to the named participants, where the kits were made; nobody else's changes."""
    from brainct.errors import Refused
    from brainct.flare.provisioning import renew as renew_certificates

    if bool(names) == everybody:
        raise Refused("name the participants whose certificates to renew, or say --all")
    for file in renew_certificates(project, workspace, names or [], out):
        print(f"{file}: send it to its owner, who runs `brainct kits update KIT {file.name}`")


@app.command()
def update(
    kit: Annotated[Path, typer.Argument(help="The installed kit.")],
    renewed: Annotated[Path, typer.Argument(help="NAME-renewed.tgz, or the folder of a renewed kit.")],
) -> None:
    """Put a renewed certificate into an installed kit; its local/ and all state stay."""
    from brainct.kit.kit_update import BEFORE
    from brainct.kit.kit_update import update as update_kit

    until = update_kit(kit, renewed)
    print(f"{kit}: certificate valid until {until}; restart it. The former startup/ is {kit / BEFORE}")


@app.command()
def revoke(
    authority: Annotated[Path, typer.Argument(help="The state/ folder of the provisioning, or ca/ of `nvflare cert`.")],
    whom: Annotated[list[str], typer.Argument(help="Participants, or files of certificates.")],
    former: Annotated[bool, typer.Option("--former", help="Only the certificates that a renewal replaced.")] = False,
) -> None:
    """Revoke certificates: their owners are refused from the next connection on, and dropped from running jobs."""
    from brainct.kit.authority import authority_in
    from brainct.kit.authority import revoke as revoke_certificates

    file, lines = revoke_certificates(authority_in(authority), whom, former)
    for line in lines:
        print(f"revoked: {line}")
    print(f"{len(lines)} more certificates in {file}; copy it to the server's kit as local/{file.name}")

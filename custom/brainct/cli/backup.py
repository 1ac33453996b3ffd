"""`brainct backup` and `brainct restore`: everything that a kit stores, in one file."""

from pathlib import Path
from typing import Annotated

import typer


def backup(
    kit: Annotated[Path, typer.Argument(help="The installed kit of the server, a hospital or a person.")],
    archive: Annotated[Path, typer.Argument(help="The new file, such as /backup/hospital-a-2026-11-28.tgz.")],
) -> None:
    """Save a kit's keys, policy, privacy ledger and state of runs in one file; keep it as safe as the kit itself."""
    from brainct.kit.backup import back_up

    contents = back_up(kit, archive)
    print(f"{archive}: {contents['owner']}, {len(contents['files'])} files, {archive.stat().st_size / 1e6:.1f} MB")


def restore(
    archive: Annotated[Path, typer.Argument(help="A file that `brainct backup` wrote.")],
    kit: Annotated[Path, typer.Argument(help="The folder of the kit: new or empty.")],
    last: Annotated[
        bool, typer.Option("--last", help="Nothing was done with this kit after the backup: its runs continue.")
    ] = False,
) -> None:
    """Restore a backup onto an empty folder. An older one gives no privacy budget back, and continues no run."""
    from brainct.kit.backup import restore as restore_kit

    for line in restore_kit(archive, kit, last):
        print(line)

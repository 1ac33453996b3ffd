"""`brainct runs`: what runs have left in a kit, and how to be rid of it."""

import shutil
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from brainct.errors import Refused

app = typer.Typer(help="What runs have left in a FLARE kit.", no_args_is_help=True)
Kit = Annotated[Path, typer.Argument(help="The kit's folder, at the server or at a site.")]
KINDS = {"runs": "state", "client_state": "what the site keeps"}


@app.command("list")
def show(kit: Kit) -> None:
    """Each run with its size and its last change: the server's state, or what a site keeps for itself."""
    folders = _folders(kit)
    if not folders:
        print("no runs")
    for folder in folders:
        files = [path for path in folder.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files) / 1e6
        changed = datetime.fromtimestamp(max(path.stat().st_mtime for path in [folder, *files]))
        print(f"{folder.name}  {KINDS[folder.parent.name]}, {size:.1f} MB, {changed:%Y-%m-%d %H:%M}")


@app.command()
def remove(kit: Kit, run: Annotated[str, typer.Argument(help="The run's id, as `list` shows it.")]) -> None:
    """Remove a run's state, or what the site keeps of it; the run can't be resumed afterwards."""
    from brainct.run import checkpoint

    folders = [folder for folder in _folders(kit) if folder.name == run]
    if not folders:
        raise Refused(f"{kit} holds nothing of a run {run!r}; `brainct runs list {kit}` shows what it holds")
    if running := sorted(note.stem for note in (kit / "brainct" / "jobs").glob("*.json")):
        raise Refused(
            f"{kit} has a running job, {running[0]}, which may need what it keeps; remove the run once it has ended (a "
            "site that was killed finds that out when it is started)"
        )
    for folder in folders:
        with checkpoint.lock(folder, run):
            shutil.rmtree(folder)
        print(f"removed {folder}")


def _folders(kit: Path) -> list[Path]:
    if not any((kit / part).is_dir() for part in ("startup", "brainct")):
        raise Refused(f"{kit} is no FLARE kit; wanted the folder that holds startup/ and local/")
    return sorted(folder for kind in KINDS for folder in (kit / "brainct" / kind).glob("*") if folder.is_dir())

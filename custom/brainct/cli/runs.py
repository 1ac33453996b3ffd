"""`brainct runs`: list and delete what runs have stored in a kit."""

import shutil
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from brainct.errors import Refused

app = typer.Typer(help="What runs have stored in a FLARE kit.", no_args_is_help=True)
Kit = Annotated[Path, typer.Argument(help="The kit's folder, at the server or at a site.")]
STORED = {"runs": "checkpoint", "client_state": "client state"}


@app.command("list")
def show(kit: Kit) -> None:
    """List each run with its size and its last change: the server's checkpoint, or the site's client state."""
    folders = _folders(kit)
    if not folders:
        print("no runs")
    for folder in folders:
        files = [path for path in folder.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files) / 1e6
        changed = datetime.fromtimestamp(max(path.stat().st_mtime for path in [folder, *files]))
        print(f"{folder.name}  {STORED[folder.parent.name]}, {size:.1f} MB, {changed:%Y-%m-%d %H:%M}")


@app.command()
def remove(kit: Kit, run: Annotated[str, typer.Argument(help="The run's id, as `list` shows it.")]) -> None:
    """Delete a run's checkpoint, or the site's client state of it; the run can't be resumed afterwards."""
    from brainct.run import checkpoint

    folders = [folder for folder in _folders(kit) if folder.name == run]
    if not folders:
        raise Refused(f"{kit} stores nothing of a run {run!r}; `brainct runs list {kit}` lists what it stores")
    if running := sorted(note.stem for note in (kit / "brainct" / "jobs").glob("*.json")):
        raise Refused(
            f"{kit} has a running job, {running[0]}, which may need its client state; remove the run once the job has "
            "ended (a site that was killed notices the end when it is started again)"
        )
    for folder in folders:
        with checkpoint.lock(folder, run):
            shutil.rmtree(folder)
        print(f"removed {folder}")


def _folders(kit: Path) -> list[Path]:
    if not any((kit / part).is_dir() for part in ("startup", "brainct")):
        raise Refused(f"{kit} is not a FLARE kit; wanted the folder with startup/ and local/")
    return sorted(folder for kind in STORED for folder in (kit / "brainct" / kind).glob("*") if folder.is_dir())

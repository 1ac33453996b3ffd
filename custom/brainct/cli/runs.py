"""`brainct runs`: list and delete what runs have stored in a kit."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="What runs have stored in a FLARE kit.", no_args_is_help=True)
Kit = Annotated[Path, typer.Argument(help="The kit's folder, at the server or at a site.")]


@app.command("list")
def show(kit: Kit) -> None:
    """List each run's checkpoint, client state and job folder, with its size and its last change."""
    from brainct.kit.retention import stored

    found = stored(kit)
    if not found:
        print("no runs")
    for each in found:
        print(f"{each.run}  {each.what}, {each.bytes / 1e6:.1f} MB, {each.changed:%Y-%m-%d %H:%M}")


@app.command()
def remove(kit: Kit, run: Annotated[str, typer.Argument(help="The run's id, as `list` shows it.")]) -> None:
    """Delete a run's checkpoint, or the site's client state of it; the run can't be resumed afterwards."""
    from brainct.kit.retention import remove as remove_run

    for folder in remove_run(kit, run):
        print(f"removed {folder}")


@app.command()
def prune(
    kit: Kit,
    days: Annotated[float, typer.Option(help="Delete what was last changed more than so many days ago.")],
    megabytes: Annotated[float | None, typer.Option(help="Then the oldest, until the rest takes at most this.")] = None,
    dry: Annotated[bool, typer.Option("--dry", help="Say what would be deleted, and delete nothing.")] = False,
) -> None:
    """Delete old runs by age and size: checkpoints, client state and job folders; nothing of a run that goes on."""
    from brainct.kit.retention import prune as prune_runs

    gone, notes = prune_runs(kit, days, megabytes, dry)
    for each in gone:
        print(f"{'would remove' if dry else 'removed'} {each.folder} ({each.what}, {each.bytes / 1e6:.1f} MB)")
    for note in notes:
        print(note)
    print(f"{len(gone)} folders, {sum(each.bytes for each in gone) / 1e6:.1f} MB")

"""`brainct privacy`: what a site's policy allows, and what its patients' privacy budget has been spent on."""

from pathlib import Path
from typing import Annotated

import typer


def privacy(
    file: Annotated[Path, typer.Argument(help="The site's privacy.json, such as KIT/local/privacy.json.")],
    site: Annotated[str, typer.Option(help="The site's name, as in its certificate.")],
) -> None:
    """Say what leaves the site by its policy, and how much of its privacy budget is spent."""
    from brainct.errors import Refused
    from brainct.security.reply_filter import reply_filter_in

    guard = reply_filter_in(file, site)
    others = sorted(path.name for path in guard.ledger.folder.parent.glob("*") if path.is_dir())
    if others and site not in others:
        raise Refused(f"nothing is noted here of a site {site!r}; wanted one of {', '.join(others)}")
    print(guard.account())

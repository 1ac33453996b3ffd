"""`brainct privacy`: what a site's policy lets leave, and how much of its privacy budget is spent."""

from pathlib import Path
from typing import Annotated

import typer


def privacy(
    file: Annotated[Path, typer.Argument(help="The site's privacy.json, such as KIT/local/privacy.json.")],
    site: Annotated[str, typer.Option(help="The site's name, as in its certificate.")],
    left_since: Annotated[
        int | None, typer.Option(min=0, help="After a restored backup: how many replies left since it was made.")
    ] = None,
) -> None:
    """Print what the policy lets leave the site, and how much of its privacy budget is spent."""
    from brainct.errors import Refused
    from brainct.security.policy_file import reply_filter_in

    reply_filter = reply_filter_in(file, site)
    others = sorted(path.name for path in reply_filter.ledger.folder.parent.glob("*") if path.is_dir())
    if others and site not in others:
        raise Refused(f"no budget ledger of site {site!r}; wanted one of {', '.join(others)}")
    if left_since is not None:
        budget = reply_filter.policy.budget
        reply_filter.ledger.settle(left_since, budget.delta if budget else 1e-5)
    print(reply_filter.account())

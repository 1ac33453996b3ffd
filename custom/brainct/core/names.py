"""Names of runs and sites, and of folders for FLARE: what they may look like."""

import re
from collections.abc import Collection, Mapping
from os import PathLike, fspath

from brainct.errors import Refused

SHOWN = 8
"""How many names a sentence shows; where there are more, it counts them."""


def run_name(name: str) -> str:
    """A run's name, which is a folder's at the server and at each site; one that could lead elsewhere is refused."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise Refused(f"the run is called {name[:80]!r}; wanted letters, digits, - and _, at most 64")
    return name


def names_of(text: str) -> list[str]:
    """Sites' names joined by commas; refused where one could not be a site's in FLARE, or the name of a file."""
    names = [name.strip() for name in text.split(",")]
    if strange := [name for name in names if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name)]:
        raise Refused(f"a site is called {strange[0][:80]!r}; wanted letters, digits, -, _ and dots, at most 64")
    return names


def site_names(count: int) -> list[str]:
    """site-1 ... site-N, the names that FLARE's simulator gives; names are part of every seed."""
    if count < 1:
        raise Refused(f"--sites is {count}; wanted at least 1")
    return [f"site-{number}" for number in range(1, count + 1)]


def check_path(path: str | PathLike[str], whose: str) -> None:
    """Refuse a path in which FLARE can't start processes: it splits its command lines at these characters."""
    if found := re.search(r"""[\s#"'\\*?\[]""", fspath(path)):
        raise Refused(
            f"{whose}, {fspath(path)}, has {found[0]!r} in its path, at which FLARE 2.9 splits its own command lines; "
            "move it to a path without spaces, quotes, backslashes and the characters # * ? ["
        )


def listing(names: Collection[str], kind: str = "sites") -> str:
    """Names joined by commas, sorted; more than a few are counted, with the first as an example."""
    known = sorted(names)
    return ", ".join(known) if len(known) <= SHOWN else f"{len(known)} {kind} ({known[0]}, {known[1]}, ...)"


def reasons_of(by_site: Mapping[str, str], form: str = "{}: {}") -> list[str]:
    """A sentence for each site and its reason; where there are many sites, one for all that have the same reason.

    form: takes a site, or several, and the reason.
    """
    if len(by_site) <= SHOWN:
        return [form.format(site, reason) for site, reason in sorted(by_site.items())]
    alike: dict[str, list[str]] = {}
    for site, reason in sorted(by_site.items()):
        alike.setdefault(reason, []).append(site)
    said = [form.format(listing(sites), reason) for reason, sites in list(alike.items())[:SHOWN]]
    return said + [f"and {len(alike) - SHOWN} more reasons"] * (len(alike) > SHOWN)

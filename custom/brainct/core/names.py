"""Names of runs and sites: what they may look like, so that each can also be the name of a file."""

import re
from collections.abc import Collection

from brainct.errors import Refused

MOST = 8
"""Names that a line lists; more are counted."""


def run_name(name: str) -> str:
    """A run's name, which is a folder's at the server and at each site; one that could lead elsewhere is refused."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise Refused(f"the run is called {name[:80]!r}; wanted letters, digits, - and _, at most 64")
    return name


def listed(names: Collection[str], what: str = "sites") -> str:
    """Names joined by commas; of many the first two, and how many they are: a line of 441 names says nothing."""
    if len(names) <= MOST:
        return ", ".join(names)
    first, second, *_ = names
    return f"{len(names)} {what} ({first}, {second}, ...)"


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

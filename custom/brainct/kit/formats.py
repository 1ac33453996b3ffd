"""The version of what a kit stores: migrated where that is possible, refused where it is not."""

import json
from collections.abc import Callable
from pathlib import Path

from brainct.core import serialization
from brainct.core.version import fingerprint
from brainct.errors import Refused

FORMAT = 1
"""0: brainct 0.1, where a site's client state was in brainct/keep. 1: since 0.2."""
FILE = Path("brainct") / "format.json"


def format_of(kit: Path) -> int:
    """The format of what the kit stores; that of this version, if it stores nothing yet."""
    if (kit / FILE).is_file():
        try:
            return int(json.loads((kit / FILE).read_text())["format"])
        except (ValueError, KeyError, TypeError):
            raise Refused(f"{kit / FILE} can't be read; restore it from a backup") from None
    return 0 if (kit / "brainct" / "keep").is_dir() else FORMAT


def check_format(kit: Path) -> None:
    """Refuse a kit whose state another version wrote; the sentence says what to do."""
    found = format_of(kit)
    if found > FORMAT:
        raise Refused(
            f"what this kit stores is of format {found}, which a later brainct wrote; {fingerprint()} reads up to "
            f"{FORMAT}: install the later version again, or restore a backup from before the upgrade"
        )
    if found < FORMAT:
        raise Refused(
            f"what this kit stores is of format {found}, of an earlier brainct; run `brainct kits install` on it, "
            "which migrates it"
        )


def migrate(kit: Path) -> list[str]:
    """Bring what the kit stores to this version's format, one step after the other; return a line for each step."""
    lines, found = [], format_of(kit)
    if found > FORMAT:
        check_format(kit)
    for number in range(found, FORMAT):
        lines.append(f"format {number} -> {number + 1}: {STEPS[number](kit)}")
    stamp = {"format": FORMAT, "package": fingerprint()}
    serialization.write(kit / FILE, json.dumps(stamp).encode(), private=True)
    return lines


def _client_state(kit: Path) -> str:
    """Runs of 0.1 can't be continued under a later version; their files stay until somebody removes them."""
    old, new = kit / "brainct" / "keep", kit / "brainct" / "client_state"
    moved = 0
    for run in sorted(old.iterdir()):
        new.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (new / run.name).exists():
            run.rename(new / run.name)
            moved += 1
    for path in [new, *new.rglob("*")] if new.is_dir() else []:
        path.chmod(0o700 if path.is_dir() else 0o600)
    if not any(old.iterdir()):
        old.rmdir()
    return f"the client state of {moved} runs is in brainct/client_state"


STEPS: dict[int, Callable[[Path], str]] = {0: _client_state}
"""By the format from which a step leads to the next."""

"""The bytes of a round of every scheme, as they were found when the docs were written last: a dry run takes seconds."""

import json
from functools import cache
from pathlib import Path

from brainct.core import json_file, serialization
from brainct.schemes import SCHEMES

STORED = Path(__file__).with_name("round_bytes.json")


def round_bytes(name: str) -> tuple[int, int]:
    """Bytes to and from a site in a round of the scheme's job; run dry for a scheme that the file lacks."""
    found = _stored().get(name)
    return (found[0], found[1]) if found else _dry(name)


def write() -> None:
    """Run every scheme dry and write the file."""
    rows = ",\n".join(f" {json.dumps(name)}: {json.dumps(_dry(name))}" for name in sorted(SCHEMES))
    serialization.write(STORED, f"{{\n{rows}\n}}\n".encode())
    _stored.cache_clear()


def outdated() -> list[str]:
    """Schemes whose dry run differs from the file, and those that it has and the registry has not."""
    stored = _stored()
    return sorted({name for name in SCHEMES if stored.get(name) != list(_dry(name))} | (stored.keys() - SCHEMES.keys()))


@cache
def _stored() -> dict[str, list[int]]:
    return json_file.table(STORED.read_bytes(), STORED.name, "bytes as `brainct schemes --write` writes them")


def _dry(name: str) -> tuple[int, int]:
    from brainct.catalogue.traffic import traffic  # loads networks, which the file spares a reader of the table

    return traffic(name)

"""The headers of a DICOM tree on disk: a file whose size and time are unchanged is not opened again."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from brainct.core.version import fingerprint
from brainct.ct.read.series_headers import SliceHeader

FILE = "headers.json"
Known = dict[str, tuple[list[int], SliceHeader | None]]


def load_headers(cache: Path | None, root: Path) -> Known:
    """What is known of each file by its name below root; empty without a cache, or if the package has changed."""
    if cache is None:
        return {}
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads((cache / FILE).read_text())
        if (content["package"], content["root"]) == (fingerprint(), str(root)):
            return {name: (state, _header(name, found, root)) for name, (state, found) in content["files"].items()}
    return {}


def save_headers(cache: Path | None, root: Path, known: Mapping[str, tuple[list[int], SliceHeader | None]]) -> None:
    """Save what `load_headers` reads, readable by its owner only: it names patients."""
    if cache is None:
        return
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    files = {name: (state, _plain(header)) for name, (state, header) in known.items()}
    part = cache / f"{FILE}.{os.getpid()}.part"
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({"package": fingerprint(), "root": str(root), "files": files}, file)
    os.replace(part, cache / FILE)


def state_of(path: Path) -> list[int]:
    """Size and time of a file."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _plain(header: SliceHeader | None) -> dict[str, Any] | None:
    if header is None:
        return None
    found = asdict(header)
    del found["name"], found["path"]
    return {**found, "kinds": sorted(header.kinds)}


def _header(name: str, found: dict[str, Any] | None, root: Path) -> SliceHeader | None:
    if found is None:
        return None
    rows, columns, spacing = found["pixels"]
    lists = {key: tuple(value) for key, value in found.items() if isinstance(value, list)}
    pixels = (rows, columns, None if spacing is None else tuple(spacing))
    return SliceHeader(
        **{**found, **lists, "pixels": pixels, "kinds": frozenset(found["kinds"])}, name=name, path=root / name
    )

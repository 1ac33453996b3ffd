"""A picture of a page as bytes, with its words; knows no drawing library."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from brainct.core import serialization


@dataclass(frozen=True)
class Picture:
    """A picture of a page: file name without suffix, alternative text, caption, and bytes.

    kind: `svg` (with a version for dark pages, and a PNG for slides) or `png` (the same on every page).
    """

    name: str
    alt: str
    caption: str
    kind: str
    light: bytes
    dark: bytes = b""
    slide: bytes = b""


def write_pictures(pictures: Iterable[Picture], folder: Path) -> list[Path]:
    """Write each picture as NAME.svg and NAME.png into a folder; return the files."""
    files = []
    for one in pictures:
        files.append((folder / f"{one.name}.{one.kind}", one.light))
        if one.slide:
            files.append((folder / f"{one.name}.png", one.slide))
    for path, content in files:
        serialization.write(path, content)
    return [path for path, _ in files]

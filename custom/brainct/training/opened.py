"""The one way to a site's files: opened once, below their root, as plain files of bounded size."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from brainct.errors import Refused

SLICE = 2**24
"""Pixels of one slice or picture, before it is decoded: 4,096 x 4,096."""
VOLUME = 2**28
"""Voxels of one volume, before it is decoded: 1,024 slices of 512 x 512."""
SLICE_FILE = 2**28
"""Bytes of one file with a slice or picture."""
VOLUME_FILE = 2**32
"""Bytes of one file with a volume."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK: a named pipe that nobody writes to would otherwise never open
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def opened(path: Path, name: str, root: Path | None = None, most: int = SLICE_FILE) -> BinaryIO:
    """The file at `path`, open for reading; what is then read is what was looked at, whatever its name leads to later.

    root: the folder that the file must lie in, its own if not given; root may be a link, for data are often mounted
    that way. A link below root is followed if it ends in root too, as in data sets whose files are links into a store
    beside them (DataLad); one that appears between the look and the opening is not. most: bytes. Refused begins with
    `name`, and says where the file leads or what it is in place of a plain file.
    """
    try:
        descriptor = _descriptor(path, name, root or path.parent)
    except (OSError, RuntimeError) as error:
        kind = type(error).__name__
        raise Refused(f"{name}: cannot be opened ({kind}): check its access rights, or copy it again") from None
    try:
        _plain_file(os.fstat(descriptor), name, most)
    except Refused:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def content(path: Path, name: str, root: Path | None = None, most: int = SLICE_FILE) -> bytes:
    """All of a file's bytes; see `opened`."""
    with opened(path, name, root, most) as file:
        found = file.read(most + 1)
    if len(found) > most:
        raise Refused(f"{name}: grew beyond {_size(most)} while it was read: copy it again")
    return found


def _descriptor(path: Path, name: str, root: Path) -> int:
    """Each folder on the way is opened in the one before it, and followed no further than `resolve` said."""
    top, end = root.resolve(), path.resolve()
    if not end.is_relative_to(top) or end == top:
        raise Refused(f"{name}: leads out of its folder through a link: copy the file there")
    *folders, last = end.relative_to(top).parts
    at = os.open(top, _FOLDER)
    try:
        for folder in folders:
            inner = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = inner
        return os.open(last, _FILE, dir_fd=at)
    finally:
        os.close(at)


def _plain_file(found: os.stat_result, name: str, most: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Refused(f"{name}: {_KINDS.get(stat.S_IFMT(found.st_mode), 'no plain file')}, wanted a plain file")
    if found.st_size > most:
        raise Refused(f"{name}: {_size(found.st_size)}, wanted at most {_size(most)}: is it the right file?")


_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
    stat.S_IFSOCK: "a socket",
}


def _size(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB" if count >= 2**20 else f"{count:,} bytes"


@contextmanager
def decoding(name: str, what: str, advice: str = "copy it again") -> Iterator[None]:
    """Whatever a decoder says of a damaged or hostile file, as one sentence that begins with the file's name."""
    try:
        yield
    except Refused:
        raise
    except Exception as error:  # decoders fail on such files in every way that Python knows
        raise Refused(f"{name}: {what} ({type(error).__name__}): {advice}") from None


def few_pixels(pixels: int, most: int, name: str) -> None:
    """Refuse more pixels than a slice or a volume has, before any is decoded."""
    if not 0 < pixels <= most:
        raise Refused(f"{name}: {pixels:,} pixels by its header, wanted at most {most:,}: is it the right file?")

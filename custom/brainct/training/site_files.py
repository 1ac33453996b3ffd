"""Opens a site's files safely: once, below their root, plain files of limited size only."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from brainct.errors import Refused

MOST = 2**28
"""Bytes of a file, unless its reader says otherwise."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK: opening a named pipe without a writer would otherwise block forever
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def open_file(path: Path, name: str, root: Path | None = None, most: int = MOST) -> BinaryIO:
    """The file at `path`, open for reading; the bytes read are those of the file that was checked.

    root: the folder that must contain the file, by default the file's own folder; root may be a link, since data are
    often mounted that way. A link below root is followed if it ends in root, as in data sets whose files are links into
    a store in the same folder (DataLad); a link that appears between check and opening is not. most: bytes. Refused
    begins with `name`, and says where the link leads or what the file is instead of a plain file.
    """
    try:
        descriptor = _descriptor(path, name, root or path.parent)
    except (OSError, RuntimeError) as error:
        kind = type(error).__name__
        raise Refused(f"{name}: cannot be opened ({kind}): check its access rights, or copy it again") from None
    try:
        _check_plain_file(os.fstat(descriptor), name, most)
    except Refused:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def read_bytes(path: Path, name: str, root: Path | None = None, most: int = MOST) -> bytes:
    """All bytes of a file; see `open_file`."""
    with open_file(path, name, root, most) as file:
        found = file.read(most + 1)
    if len(found) > most:
        raise Refused(f"{name}: grew beyond {_size(most)} during reading: copy it again")
    return found


def _descriptor(path: Path, name: str, root: Path) -> int:
    """Open each folder of the resolved path inside the one before it, without following further links."""
    top, end = root.resolve(), path.resolve()
    if not end.is_relative_to(top) or end == top:
        raise Refused(f"{name}: is a link that leaves its folder: copy the file there")
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


def _check_plain_file(found: os.stat_result, name: str, most: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Refused(f"{name}: {_FILE_TYPES.get(stat.S_IFMT(found.st_mode), 'no plain file')}, wanted a plain file")
    if found.st_size > most:
        raise Refused(f"{name}: {_size(found.st_size)}, wanted at most {_size(most)}: is it the right file?")


_FILE_TYPES = {
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
    """Turn every exception of a decoder into Refused, one sentence that begins with the file's name."""
    try:
        yield
    except Refused:
        raise
    except Exception as error:  # decoders raise any type for damaged or hostile files
        raise Refused(f"{name}: {what} ({type(error).__name__}): {advice}") from None

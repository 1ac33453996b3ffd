"""A lock file that one process holds at a time; the system frees it when that process dies."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from brainct.core import serialization

NEVER, AT_ONCE = -1, 0
"""Seconds after which `locked` gives up: it waits as long as it takes, or does not wait."""


@contextmanager
def locked(file: Path, private: bool = True, timeout: float = NEVER) -> Iterator[None]:
    """Hold the lock of this file, which is created where it is missing and stays.

    private: the file and its folder are their owner's alone. timeout: seconds; filelock.Timeout is raised after it.
    """
    serialization.folder_for(file, private)
    # a soft lock, filelock's fallback on file systems without flock, would outlive a killed process
    with FileLock(file, timeout, mode=0o600 if private else 0o644, fallback_to_soft=False):
        yield

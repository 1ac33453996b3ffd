"""Processes that are forked before a program has threads, and get their work later: what is imported is shared."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

PREFIX = 3
"""Words of a command before the module's own: the interpreter, -m, the module."""


class Prepared:
    """Stands for the module `subprocess` where a program starts the same Python module again and again.

    work: what the module does, given its words. count: forked now; once they are used, commands start as always.
    """

    TimeoutExpired = subprocess.TimeoutExpired

    def __init__(self, work: Callable[[list[str]], None], count: int):
        self._context, self._work = get_context("fork"), work
        self._idle: list[Forked] = []
        for _ in range(count):  # one after the other, so that each knows the ends that it has to close
            self._idle.append(Forked(self._context, work, [each.pipe for each in self._idle]))
        self._used: list[Forked] = []

    def Popen(self, command: Sequence[str], **how: Any) -> Any:  # noqa: N802 - the name in `subprocess`
        """A prepared process with this command's work, or a new one."""
        if not self._idle:
            return subprocess.Popen(command, **how)
        process = self._idle.pop(0)
        process.start(command[PREFIX:], how.get("env") or os.environ)
        self._used.append(process)
        return process

    def end(self) -> None:
        """End all processes."""
        for process in (*self._idle, *self._used):
            process.kill()


class Forked:
    """One of them, with what its starter asks of a `subprocess.Popen`."""

    def __init__(self, context: Any, work: Callable[[list[str]], None], others: Sequence[Connection]):
        self.pipe, there = context.Pipe()
        self._process = context.Process(target=_wait_for_work, args=(there, [self.pipe, *others], work))
        self._process.start()
        there.close()
        self.pid = self._process.pid

    def start(self, words: Sequence[str], environment: Mapping[str, str]) -> None:
        """Give it its work."""
        self.pipe.send((list(words), dict(environment)))

    @property
    def returncode(self) -> int | None:
        """As that of Popen."""
        found: int | None = self._process.exitcode
        return found

    def poll(self) -> int | None:
        """As that of Popen."""
        return self.returncode

    def terminate(self) -> None:
        """As that of Popen."""
        self._process.terminate()

    def kill(self) -> None:
        """As that of Popen."""
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int:
        """As that of Popen."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(shlex.join(["site"]), timeout or 0)
        return self.returncode


def _wait_for_work(there: Connection, others: Sequence[Connection], work: Callable[[list[str]], None]) -> None:
    for pipe in others:  # open here too, they would hide that the parent has ended
        pipe.close()
    with suppress(EOFError):
        words, environment = there.recv()
        os.setsid()
        os.environ.update(environment)
        work(words)
        sys.stdout.flush()
        os._exit(0)  # Python takes seconds to put torch away

"""Ends every process of one federation on this machine, found by a mark in its environment.

`python -m brainct.flare.processes MARK` waits until its standard input closes, then ends them all: the parent holds the
other end, so nothing keeps running however the parent is killed.
"""

import sys
import time
from contextlib import suppress

import psutil

VARIABLE = "BRAINCT_FEDERATION"
"""The environment variable of each process of a federation; its value is MARK:KIT."""


def marked_processes(mark: str, kit: str | None = None) -> list[psutil.Process]:
    """The living processes of a federation, or of one of its kits."""
    found = []
    for process in psutil.process_iter():
        try:
            owner = process.environ().get(VARIABLE, "")
        except (psutil.Error, OSError):
            continue
        if owner.partition(":")[0] == mark and kit in (None, owner.partition(":")[2]):
            found.append(process)
    return found


def end_processes(mark: str, kit: str | None = None, patience: float = 3.0) -> int:
    """Terminate, after `patience` seconds kill, and repeat until none is left; return how many were running."""
    ended: set[int] = set()
    began = time.monotonic()
    while processes := marked_processes(mark, kit):
        for process in processes:
            ended.add(process.pid)
            _signal(process, kill=time.monotonic() - began > patience)
        psutil.wait_procs(processes, timeout=0.5)
    return len(ended)


def _signal(process: psutil.Process, kill: bool) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill() if kill else process.terminate()


if __name__ == "__main__":
    sys.stdin.read()
    end_processes(sys.argv[1])

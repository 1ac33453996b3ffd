"""The program `brainct`, also as `python -m brainct.cli`."""

import atexit
import os
import sys


def program() -> None:
    """Run the command, and end without the seconds that Python takes to put torch away."""
    ended: list[int] = []

    @atexit.register  # the first that is registered is the last that runs
    def leave() -> None:
        if ended:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(ended[0])

    from brainct.cli.main import main

    try:
        main()
        ended.append(0)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            ended.append(end.code or 0)
        raise


if __name__ == "__main__":
    program()

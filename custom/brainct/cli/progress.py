"""Progress of a run: a bar on a terminal, with the run's lines above it."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress:
    """Shows the closed rounds of a run. rounds: their number in the whole run."""

    def __init__(self, rounds: int):
        columns = (TextColumn("round"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        # no refresh thread: workers are forked, and a forked process has no other threads
        self._bar = Bar(*columns, console=console, auto_refresh=False, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("rounds", total=rounds)

    def log(self, line: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def closed(self, row: Mapping[str, Any]) -> None:
        """Count a closed round."""
        self._bar.update(self._task, completed=row["round"] + 1)
        self._bar.refresh()

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._bar.stop()

"""A bar on the terminal while scans are read."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")


def with_bar(items: Iterable[Item], total: int, word: str) -> Iterator[Item]:
    """The items, with a bar on standard error if that is a terminal; each item counts as one step."""
    console = Console(stderr=True)
    columns = (TextColumn(word), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn())
    # no refresh thread: workers are forked, and a forked process has no other threads
    with Progress(
        *columns, console=console, auto_refresh=False, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(word, total=total)
        for number, item in enumerate(items, 1):
            yield item
            bar.update(task, completed=number)
            if number % 10 == 0:
                bar.refresh()

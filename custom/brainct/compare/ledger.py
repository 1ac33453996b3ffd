"""The ledger: one line of JSON for each finished run, appended whole; two ledgers are joined with `cat`."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

from pydantic import BaseModel, ValidationError

from brainct.compare.run_row import RunRow
from brainct.core import json_file
from brainct.core.file_lock import locked
from brainct.core.sentences import sentences
from brainct.errors import Refused

LEDGER = "ledger.jsonl"
"""The file's name in the folder of a comparison."""

CHOICES = ("arguments", "grid", "choices", "plan")
"""Parts of a row that were chosen, not measured."""

R = TypeVar("R", bound=BaseModel)
Prepare = Callable[[Any], Any]


def append_row(path: Path, row: BaseModel) -> None:
    """Add one line; it is whole and on the disk before this returns, and several processes may append at once.

    Measured numbers are written with six decimals. A line that a crash cut off is removed first: its run counts as not
    done.
    """
    line = (json.dumps(_round_measured(row.model_dump()), allow_nan=False, sort_keys=True) + "\n").encode()
    with locked(path.with_name(f".{path.name}.lock"), private=False), path.open("a+b") as file:
        file.truncate(_whole_lines(file.seek(0, os.SEEK_END), path))
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def _as_it_is(value: Any) -> Any:
    return value


@overload
def read_rows(path: Path, *, prepare: Prepare = ...) -> list[RunRow]: ...
@overload
def read_rows(path: Path, kind: type[R]) -> list[R]: ...
def read_rows(path: Path, kind: type[BaseModel] = RunRow, prepare: Prepare = _as_it_is) -> Any:
    """The rows in the order in which they were written; [] without a file.

    kind: the model of a row. prepare: applied to each parsed line before it is validated, such as
    `report.run_folder.cleaned` for rows that a page shows. A last line without its end was cut off by a crash and is
    left out; any other line that is not a row is refused by its number.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    named = ((line, f"{path.name}, line {number}") for number, line in enumerate(lines, 1) if line.strip())
    return [_parse_row(line, whose, kind, prepare) for line, whose in named]


def join_ledgers(paths: Iterable[Path]) -> list[RunRow]:
    """The rows of several ledgers, such as those of two machines, each run once."""
    return unique_runs([row for path in paths for row in read_rows(path)])


def unique_runs(rows: Sequence[RunRow]) -> list[RunRow]:
    """Each (key, code) once: the first row that is done, else the last that failed; order of first appearance."""
    found: dict[tuple[str, str], RunRow] = {}
    for row in rows:
        before = found.get((row.key, row.code))
        if before is None or before.status == "failed":
            found[row.key, row.code] = row
    return list(found.values())


def _round_measured(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: each if name in CHOICES else _round_measured(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_round_measured(each) for each in value]
    return round(value, 6) if isinstance(value, float) else value


def _parse_row(line: bytes, whose: str, kind: type[R], prepare: Prepare) -> R:
    parsed = json_file.parsed(line, whose, "a ledger that `brainct compare` wrote")
    try:
        return kind.model_validate(prepare(parsed))
    except ValidationError as error:
        raise Refused(f"{whose}: {sentences(error)}") from None


def _whole_lines(size: int, path: Path) -> int:
    """Bytes up to the end of the last whole line."""
    with path.open("rb") as file:
        back = 1 << 16
        while size:
            start = max(0, size - back)
            file.seek(start)
            end = file.read(size - start).rfind(b"\n")
            if end >= 0 or not start:
                return start + end + 1
            size = start
    return 0

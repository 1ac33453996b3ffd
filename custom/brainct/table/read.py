"""Reads a table: cells of CSV or Parquet as text, and columns as numbers; every refusal names row and column."""

import csv
import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainct.errors import Refused
from brainct.training.site_files import read_bytes

Floats = NDArray[np.float64]

MOST_BYTES, MOST_ROWS = 2**30, 10**7


@dataclass(frozen=True)
class Table:
    """Cells by column, without spaces around them; an empty cell is missing. Row 1 is the header's."""

    name: str
    cells: Mapping[str, Sequence[str]]

    @property
    def rows(self) -> int:
        """Rows below the header."""
        return len(next(iter(self.cells.values())))

    def column(self, name: str) -> Sequence[str]:
        """The cells of a column; Refused where there is none of this name."""
        if name not in self.cells:
            raise Refused(f"{self.name}: no column {name!r}; it has {', '.join(self.cells)}")
        return self.cells[name]

    def numbers(self, name: str) -> Floats:
        """(N,) a column's values, NaN where a cell is empty."""
        return np.array([self._number(cell, name, row) for row, cell in enumerate(self.column(name), 2)], np.float64)

    def _number(self, cell: str, name: str, row: int) -> float:
        try:
            value = float(cell) if cell else float("nan")
        except ValueError:
            value = float("inf")
        if cell and not np.isfinite(value):
            raise Refused(f"{self.name}, row {row}, column {name}: got {cell!r:.80}, wanted a finite number")
        return value


def read_table(path: Path) -> Table:
    """The table in a CSV file (UTF-8, comma-separated, a header) or, by its ending, a Parquet file."""
    return _parquet(path) if path.suffix == ".parquet" else _csv(path)


def _csv(path: Path) -> Table:
    try:
        text = read_bytes(path.resolve(), path.name, most=MOST_BYTES).decode("utf-8-sig")
        lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        rows = [[cell.strip() for cell in row] for row in itertools.islice(lines, MOST_ROWS + 1) if any(row)]
    except (UnicodeDecodeError, csv.Error):
        raise Refused(f"{path.name}: not a comma-separated text file in UTF-8: export it again as CSV UTF-8") from None
    header, *body = rows or [[]]
    if short := [row for row, cells in enumerate(body, 2) if len(cells) != len(header)]:
        raise Refused(f"{path.name}, row {short[0]}: got {len(body[short[0] - 2])} cells, wanted {len(header)}")
    return _checked(path, header, [[row[at] for row in body] for at in range(len(header))])


def _parquet(path: Path) -> Table:
    try:
        from pyarrow import parquet  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        need = "Parquet needs pyarrow: pip install 'flare-brainct[table]', or give a CSV file"
        raise Refused(f"{path.name}: {need}") from None
    try:
        found = parquet.read_table(io.BytesIO(read_bytes(path.resolve(), path.name, most=MOST_BYTES)))
    except Exception as error:  # pyarrow fails on damaged files in many ways
        raise Refused(f"{path.name}: can't be read as Parquet ({type(error).__name__}): export it again") from None
    # a value that differs from itself is NaN, which some writers put for a missing one
    columns = [["" if v is None or v != v else str(v).strip() for v in one.to_pylist()] for one in found.columns]
    return _checked(path, found.column_names, columns)


def _checked(path: Path, header: Sequence[str], columns: Sequence[Sequence[str]]) -> Table:
    if not columns or not columns[0]:
        raise Refused(f"{path.name}: no rows; wanted a header and a row per sample")
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise Refused(f"{path.name}: column {twice[0]!r} is there twice; rename one")
    return Table(path.name, dict(zip(header, columns, strict=True)))

"""A table's samples as the job asks for them: columns in the job's order, one label per output."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainct.errors import Refused
from brainct.table.config import TableChoices
from brainct.table.read import Floats, Table
from brainct.table.site_config import TableFile

Labels = NDArray[np.float32]


@dataclass(frozen=True)
class Samples:
    """values: (N, d) float64, NaN where missing. labels: (N, F), NaN where unknown. groups: (N,) kept in one fold.

    patients: whether the groups are patients; else each sample is a group of its own.
    """

    values: Floats
    labels: Labels
    groups: NDArray[np.int64]
    patients: bool = False


def samples_of(table: Table, file: TableFile, choices: TableChoices) -> Samples:
    """The samples of a site's own file."""
    values = values_of(table, file, choices)
    labels = labels_of(table, file, choices)
    if file.patient is None:
        return Samples(values, labels, np.arange(table.rows))
    names = [cell or f"row {row}" for row, cell in enumerate(table.column(file.patient))]
    return Samples(values, labels, np.unique(names, return_inverse=True)[1].astype(np.int64), True)


def values_of(table: Table, file: TableFile, choices: TableChoices) -> Floats:
    """(N, d) the job's features; Refused names the row and column of a missing value unless the site allows it."""
    columns = _columns(table, file, choices)
    values = np.stack([table.numbers(name) for name in columns], 1)
    if file.missing == "refuse" and np.isnan(values).any():
        row, at = (int(one[0]) for one in np.nonzero(np.isnan(values)))
        raise Refused(
            f"{table.name}, row {row + 2}, column {columns[at]}: no value; fill it in, remove the row, or set "
            "`missing: mean` in the site file"
        )
    return values


def _columns(table: Table, file: TableFile, choices: TableChoices) -> list[str]:
    """The site's columns in the order of the job's features."""
    given, wanted = file.columns, choices.features
    if isinstance(given, dict):
        if isinstance(wanted, int):
            raise Refused("`columns` names features, but the job has none by name; wanted a list of columns")
        if lacking := [name for name in wanted if name not in given]:
            raise Refused(f"`columns` lacks the job's {', '.join(lacking)}")
        return [given[name] for name in wanted]
    if given is None and not isinstance(wanted, int):
        return wanted
    others = [name for name in table.cells if name not in (file.target, file.patient)]
    found = others if given is None else given
    if len(found) != choices.columns:
        raise Refused(f"{table.name}: {len(found)} columns, the job has {choices.columns} features; see `columns`")
    return found


def labels_of(table: Table, file: TableFile, choices: TableChoices) -> Labels:
    """(N, F): 0 or 1, one-hot, or the number; NaN where the target's cell is empty."""
    cells, where = table.column(file.target), f"{table.name}, column {file.target}"
    if choices.task == "regression":
        return table.numbers(file.target)[:, None].astype(np.float32)
    if choices.task == "classes":
        return one_hot(cells, choices.outputs, where)
    if file.positive is None:
        return one_hot(cells, ["0", "1"], where)[:, 1:]
    return np.array([[np.nan if not cell else cell == file.positive] for cell in cells], np.float32)


def one_hot(cells: Sequence[str], names: Sequence[str], where: str) -> Labels:
    """(N, F) 1 in the column of each cell's name, NaN in all of an empty one's; Refused for any other text."""
    known = {name: at for at, name in enumerate(names)}
    if strange := [(row, cell) for row, cell in enumerate(cells, 2) if cell and cell not in known]:
        row, cell = strange[0]
        raise Refused(f"{where}, row {row}: got {cell!r:.80}, wanted {', '.join(names)} or an empty cell")
    rows = np.eye(len(names), dtype=np.float32)
    return np.stack([rows[known[cell]] if cell else np.full(len(names), np.nan, np.float32) for cell in cells])

"""Opens a site's causal table: columns in the job's order, complete rows, and in words what it lacks."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from brainct.causal import scans
from brainct.causal.config import CausalChoices
from brainct.causal.generator import draw
from brainct.causal.site_config import CausalFile, read_site_file
from brainct.causal.structures import STRUCTURES, variables_of
from brainct.errors import Refused
from brainct.graphs.moments import FLOOR, Floats
from brainct.table.read import Table, read_table

GENERATED = "GENERATED data of a known graph; not this site's own"
DROPPED = 0.3
"""Share of incomplete rows from which the record warns."""


@dataclass(frozen=True)
class CausalData:
    """rows: (n, p) complete, 0 in a column that the site lacks. present: (p,). refusal: why it takes no part."""

    kind: str
    rows: Floats
    dropped: int
    present: NDArray[np.bool_]
    fingerprint: str
    notes: tuple[str, ...]
    refusal: str = ""

    @property
    def varies(self) -> NDArray[np.bool_]:
        """(p,) whether a column is there and not constant."""
        return np.asarray(self.present & (self.rows.std(0) > 1e-12))

    @property
    def fewest(self) -> list[int | None]:
        """Of each column that has two values here, the rows with the rarer one."""
        counts = [np.unique(column, return_counts=True)[1] for column in self.rows.T]
        return [int(one.min()) if len(one) == 2 else None for one in counts]


def open_site(path: Path | None, site: str, sites: Sequence[str], choices: CausalChoices) -> CausalData:
    """The rows of one site; without a site file generated ones. Refused begins with the site's name."""
    try:
        file = read_site_file(path, choices.demonstration == "linear")
        if file.kind == "generated":
            return data_of(_generated(file, site, sites, choices), file, choices, (GENERATED,))
        if file.kind in ("scans", "phantom_scans"):
            columns, notes = scans.columns_of(file, site, choices.columns)
            return data_of(columns, file, choices, notes)
        assert file.path is not None
        return data_of(_read(read_table(file.path), file, choices), file, choices)
    except Refused as refusal:
        raise Refused(f"{site}: {refusal}") from None


def _generated(file: CausalFile, site: str, sites: Sequence[str], choices: CausalChoices) -> list[Floats | None]:
    names = variables_of(file.structure)
    place = {name: at for at, name in enumerate(names)}
    if not set(choices.columns) & set(names):
        raise Refused(f"generated {file.structure} has none of the job's columns; it has {', '.join(names)}")
    graph = np.zeros((len(names), len(names)), np.int8)
    for cause, effect in STRUCTURES[file.structure]:
        graph[place[cause], place[effect]] = 1
    drawn = draw(graph, [file.rows] * len(sites), file.seed, file.changes, file.linear)
    rows = drawn.rows[sorted(sites).index(site)]
    return [rows[:, place[name]] if name in place else None for name in choices.columns]


def _read(table: Table, file: CausalFile, choices: CausalChoices) -> list[Floats | None]:
    named = [(name, file.columns.get(name, name)) for name in choices.columns]
    return [_column(table, own, file.levels.get(name)) if own in table.cells else None for name, own in named]


def _column(table: Table, name: str, levels: Sequence[str] | None) -> Floats:
    """Numbers; a column of texts by its two levels."""
    cells = table.column(name)
    if levels is not None:
        known = {"": np.nan, levels[0]: 0.0, levels[1]: 1.0}
        if strange := [row for row, cell in enumerate(cells, 2) if cell not in known]:
            raise Refused(f"{table.name}, row {strange[0]}, column {name}: wanted {levels[0]}, {levels[1]} or nothing")
        return np.array([known[cell] for cell in cells])
    texts = sorted({cell for cell in cells if cell and not _is_number(cell)})
    if len(texts) == 2 and not any(_is_number(cell) for cell in cells if cell):
        raise Refused(f"{table.name}, column {name}: two texts; say which is 0 and which 1: `levels`")
    if texts:
        raise Refused(f"{table.name}, column {name}: a category of several levels; recode it to two levels, or drop it")
    return table.numbers(name)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def data_of(
    columns: Sequence[Floats | None], file: CausalFile, choices: CausalChoices, notes: tuple[str, ...] = ()
) -> CausalData:
    """The complete rows of these columns, None for one that the site lacks."""
    present = np.array([one is not None for one in columns])
    if not present.any():
        raise Refused(f"none of the job's columns is in the table: {', '.join(choices.columns)}")
    length = next(len(one) for one in columns if one is not None)
    table = np.stack([np.zeros(length) if one is None else one for one in columns], 1)
    complete = ~np.isnan(table).any(1)
    rows, dropped = table[complete], int((~complete).sum())
    rows = np.stack([_normal(rows[:, at], choices, name) for at, name in enumerate(choices.columns)], 1)
    least = max(choices.min_rows, 5 * int(present.sum()))
    refusal = ""
    if len(rows) < 2 or (len(rows) < least and not file.force):
        refusal = f"{len(rows)} complete rows; wanted {least}, or `force: true` in the site file"
    if dropped > DROPPED * length:
        notes = (*notes, f"{dropped} of {length} rows are incomplete and left out")
    if refusal:
        notes = (*notes, f"takes no part: {refusal}")
    elif len(rows) >= 2:
        notes = (*notes, *_same(rows, choices.columns))
    digest = sha256(b"".join(sorted(sha256(row.tobytes()).digest() for row in rows))).hexdigest()
    return CausalData(file.kind, rows, dropped, present, digest, notes, refusal)


def _normal(values: Floats, choices: CausalChoices, name: str) -> Floats:
    """Standard normal quantiles by the column's public breaks; the values themselves where it has none."""
    breaks = choices.breaks.get(name)
    if breaks is None:
        return values
    shares = (np.arange(len(breaks)) + 0.5) / len(breaks)
    return np.asarray(ndtri(np.interp(values, breaks, shares)))


def _same(rows: Floats, names: Sequence[str]) -> list[str]:
    """A note for each two columns of which one gives the other."""
    deviation = rows.std(0)
    known = np.flatnonzero(deviation > 1e-12)
    if len(known) < 2:
        return []
    correlation = np.asarray(np.corrcoef(rows[:, known].T))
    pairs = [(i, j) for i in range(len(known)) for j in range(i) if 1 - correlation[i, j] ** 2 <= max(FLOOR, 1e-12)]
    return [f"{names[known[j]]} and {names[known[i]]} are the same column; name one of them" for i, j in pairs]

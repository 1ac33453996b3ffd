"""The runs that have ended, found by their keys."""

from collections.abc import Collection, Iterable

from brainct.compare.planned_runs import PlannedRun
from brainct.compare.run_row import RunRow


class EndedRuns:
    """Rows by key. accept: beginnings of older code hashes whose rows count like those of today's code."""

    def __init__(self, rows: Iterable[RunRow], accept: Collection[str] = ()):
        self._rows: dict[str, list[RunRow]] = {}
        self._accept = tuple(accept)
        for row in rows:
            self.add(row)

    def add(self, row: RunRow) -> None:
        """Add the row of one more run."""
        self._rows.setdefault(row.key, []).append(row)

    def __call__(self, run: PlannedRun) -> RunRow | None:
        """The row of this run: the first that is done, else the last that failed; None if it has not ended."""
        rows = self._rows.get(run.key, [])
        mine = [row for row in rows if row.code == run.code or row.code.startswith(self._accept)]
        done = [row for row in mine if row.status == "done"]
        return done[0] if done else mine[-1] if mine else None

    def codes(self, run: PlannedRun) -> set[str]:
        """The code hashes of this run's rows."""
        return {row.code for row in self._rows.get(run.key, [])}

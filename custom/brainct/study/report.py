"""`brainct report`: one self-contained HTML page, and its pictures beside it, of a run, of several, or of a ledger."""

from collections.abc import Sequence
from pathlib import Path

from brainct.study import page
from brainct.study.report_run import run_page
from brainct.study.runfolder import read_run


def report(what: Sequence[Path], out: Path | None = None) -> list[Path]:
    """Write the page and its pictures; all paths, the page first. By default it lies in or beside what was named."""
    return page.write(run_page(read_run(what[0])), out or what[0] / "report.html")

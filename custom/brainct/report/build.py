"""`brainct report`: one self-contained HTML page, and its pictures next to it, of a run, of several, or of a ledger."""

from collections.abc import Sequence
from pathlib import Path

from brainct.compare.ledger import read_rows
from brainct.errors import Refused
from brainct.pages.page import write_page
from brainct.report.ledger_page import ledger_page
from brainct.report.run_folder import read_run
from brainct.report.run_page import run_page
from brainct.report.runs_page import runs_page
from brainct.report.tolerant import cleaned

DOCTYPE = b"<!doctype html>"
MOST_RUNS = 8
"""Runs side by side; more belong into a ledger."""


def report(sources: Sequence[Path], out: Path | None = None) -> list[Path]:
    """Write the page and its pictures; all paths, the page first.

    sources: folders of runs, or one ledger. out: the page; default: report.html in the run's folder, reports.html in
    the first of several, or NAME.html next to a ledger NAME. A file that is not a page is never overwritten.
    """
    if out is not None and out.exists() and not _is_page(out):
        raise Refused(f"{out} exists and is not a report; name another file")
    if len(sources) > MOST_RUNS:
        raise Refused(f"got {len(sources)} runs; {MOST_RUNS} fit side by side: name fewer, or a ledger")
    ledgers = [path for path in sources if path.is_file()]
    if ledgers and len(sources) > 1:
        raise Refused(f"{ledgers[0]} is a file among {len(sources)} names; wanted folders of runs, or one ledger alone")
    if ledgers:
        return _report_ledger(ledgers[0], out)
    runs = [read_run(path) for path in sources]
    if len(runs) == 1:
        return write_page(run_page(runs[0]), out or sources[0] / "report.html")
    return write_page(runs_page(runs), out or sources[0] / "reports.html")


def _is_page(path: Path) -> bool:
    return path.is_file() and path.read_bytes()[: len(DOCTYPE)].lower() == DOCTYPE


def _report_ledger(ledger: Path, out: Path | None) -> list[Path]:
    rows = read_rows(ledger, prepare=cleaned)
    return write_page(ledger_page(rows, ledger.name), out or ledger.with_suffix(".html"))

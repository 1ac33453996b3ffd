"""`brainct report`: one self-contained HTML page, and its pictures beside it, of a run, of several, or of a ledger."""

from collections.abc import Sequence
from pathlib import Path

from brainct.compare.ledger import read
from brainct.errors import Refused
from brainct.pages import page
from brainct.report.ledger_page import ledger_page
from brainct.report.run_folder import read_run
from brainct.report.run_page import run_page
from brainct.report.runs_page import runs_page

DOCTYPE = b"<!doctype html>"
MOST_RUNS = 8
"""Runs side by side; more are a ledger's."""


def report(what: Sequence[Path], out: Path | None = None) -> list[Path]:
    """Write the page and its pictures; all paths, the page first.

    what: folders of runs, or one ledger. out: the page; by default report.html in the run's folder, reports.html in the
    first of several, or a ledger's name with the ending .html beside it. What is there and no page is not replaced.
    """
    if out is not None and out.exists() and not (out.is_file() and out.read_bytes()[:15].lower() == DOCTYPE):
        raise Refused(f"{out} is there and no report; name another file")
    if len(what) > MOST_RUNS:
        raise Refused(f"got {len(what)} runs; {MOST_RUNS} fit side by side: name fewer, or a ledger")
    ledgers = [path for path in what if path.is_file()]
    if ledgers and len(what) > 1:
        raise Refused(f"{ledgers[0]} is a file among {len(what)} names; wanted folders of runs, or one ledger alone")
    if ledgers:
        return page.write_page(ledger_page(read(ledgers[0]), ledgers[0]), out or ledgers[0].with_suffix(".html"))
    runs = [read_run(path) for path in what]
    if len(runs) == 1:
        return page.write_page(run_page(runs[0]), out or what[0] / "report.html")
    return page.write_page(runs_page(runs), out or what[0] / "reports.html")

"""The result of a site check as a terminal table, as JSON and as an HTML page."""

import json
import sys
from collections.abc import Sequence
from datetime import datetime, timezone

from rich.console import Console
from rich.table import Table as TerminalTable
from rich.text import Text

from brainct.core.version import fingerprint
from brainct.kit.verdict import CheckResult, status_counts, worst
from brainct.pages.page import Page, Section, Table, render_page

COLOURS = {"PASS": "green", "WARN": "yellow", "FAIL": "bold red"}

UNWRAPPED = 400
"""Columns of the table where there is no terminal: in a file each result stays on one line."""


def print_results(results: Sequence[CheckResult]) -> None:
    """Print one line a result; the last line is the verdict with the count of each status."""
    console = Console(width=None if sys.stdout.isatty() else UNWRAPPED, highlight=False)
    table = TerminalTable("status", "check", "result", box=None, pad_edge=False, header_style="dim")
    for each in results:
        table.add_row(Text(each.status, COLOURS[each.status]), Text(each.subject), Text(each.message))
    console.print(table)
    console.print()
    console.print(f"{worst(results)}: {status_counts(results)}", style=COLOURS[worst(results)])


def as_json(results: Sequence[CheckResult]) -> str:
    """The results for a program."""
    findings = [{"what": each.subject, "status": each.status, "words": each.message} for each in results]
    head = {"verdict": worst(results), "time": f"{now():%Y-%m-%dT%H:%M:%S%z}", "package": fingerprint()}
    return json.dumps({**head, "kit": _kit(results), "findings": findings}, indent=1)


def now() -> datetime:
    """The time of the check, in UTC."""
    return datetime.now(timezone.utc)


def _kit(results: Sequence[CheckResult]) -> str:
    """Whose kit it is, in the words of the check's first line."""
    return next((each.message for each in results if each.subject == "kit"), "")


def as_html(results: Sequence[CheckResult]) -> str:
    """The results for a browser: one file without scripts that loads nothing."""
    verdict = worst(results)
    failed = [f"{each.subject}: {each.message}" for each in results if each.status == "FAIL"]
    to_consider = [f"{each.subject}: {each.message}" for each in results if each.status == "WARN"]
    rows = [(each.subject, each.status, each.message) for each in results]
    page = Page(
        title=f"Site check: {verdict}",
        subtitle=f"{now():%Y-%m-%d %H:%M} UTC; {_kit(results)}; {status_counts(results)}; brainct {fingerprint()}",
        warnings=[f"FAIL {message}" for message in failed],
        answers=[
            ("Can this site take part in a run?", ["Not yet: fix every FAIL first." if failed else "Yes."]),
            ("What should be considered?", to_consider or ["Nothing."]),
        ],
        first=Section("In short"),
        sections=[Section("All checks", tables=[Table("One line a check", ("check", "status", "result"), rows)])],
        footer="Written by `brainct site check`; nothing on this page left the machine.",
        kicker="brainct site check",
    )
    return render_page(page)

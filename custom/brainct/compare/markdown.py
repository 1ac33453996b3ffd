"""Sections and tables as Markdown."""

from collections.abc import Sequence
from pathlib import Path

from brainct.compare import leaderboard
from brainct.compare.ledger import unique_runs
from brainct.compare.run_row import RunRow
from brainct.compare.setting import settings_of
from brainct.core import serialization
from brainct.core.spreadsheet import spreadsheet_cell
from brainct.errors import one_line
from brainct.pages.page import Cell, Section, Table

TABLE = "table.md"


def write_tables(rows: Sequence[RunRow], folder: Path) -> str:
    """Write table.md into this folder and return its text."""
    text = comparison_tables(rows)
    serialization.write(folder / TABLE, text.encode())
    return text


def comparison_tables(rows: Sequence[RunRow]) -> str:
    """All tables of a ledger: each federation and budget, then equal bytes, then larger budgets, then notes."""
    rows = unique_runs(rows)
    settings = settings_of(rows)
    sections = [Section(one.title, tables=[leaderboard.leaderboard(one)]) for one in settings]
    for one in settings:
        if table := leaderboard.equal_bytes(one):
            sections.append(Section(f"{one.title}: equal bytes", tables=[table]))
    if larger := leaderboard.larger_budgets(settings):
        sections.append(larger)
    notes = [*leaderboard.notes(rows, settings), leaderboard.reading(settings)]
    return render_markdown([*sections, Section("Notes", notes)])


def render_markdown(sections: Sequence[Section]) -> str:
    """Titles, texts, tables, terms and notes of sections; pictures are for pages."""
    return "\n\n".join(part for section in sections for part in _section(section)) + "\n"


def _section(section: Section) -> list[str]:
    return [
        f"## {_word(section.title)}",
        *section.text,
        *("\n".join([f"{table.caption}.", "", *table_lines(table)]) for table in section.tables),
        *(f"- {term}: {text}." for term, text in section.terms.items()),
        *(f"- {note}" for note in section.notes),
    ]


def table_lines(table: Table) -> list[str]:
    """The lines of a table; its first column, which names the rows, is set as code."""
    rows = [[f"`{_word(str(name))}`", *(_one_cell(value) for value in values)] for name, *values in table.rows]
    return [f"| {' | '.join(cells)} |" for cells in (table.head, ["---"] * len(table.head), *rows)]


def _one_cell(value: Cell) -> str:
    """One printable line that ends no cell."""
    return one_line(str(value)).replace("|", "/").replace("`", "'")


def _word(name: str) -> str:
    """A name that somebody else chose, as a cell that a spreadsheet does not compute as a formula."""
    return spreadsheet_cell(_one_cell(name))

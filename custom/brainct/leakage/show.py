"""A folder's ledger as tables and as a page: table.md, and leakage.html with its pictures, beside the ledger."""

import json
from pathlib import Path
from typing import Any

from brainct.compare.markdown import table_lines
from brainct.core import serialization
from brainct.errors import Refused
from brainct.leakage import rows, table
from brainct.leakage.page import _table, leakage_page
from brainct.leakage.results import Summary, summaries
from brainct.leakage.rows import LEDGER
from brainct.leakage.tradeoff import Place, places
from brainct.pages import page

CRAFTED, PAGE = "crafted.json", "leakage.html"


def write(folder: Path) -> str:
    """Write table.md and leakage.html of a folder, and give the tables."""
    path = folder / LEDGER
    if not path.is_file():
        raise Refused(f"no {LEDGER} in {folder}; correct the folder, or run `brainct leakage --plan FILE` first")
    found = summaries(rows.read(path))
    placed, tried = places(found), _crafted(folder)
    text = _text(found, placed, tried)
    serialization.write(folder / "table.md", text.encode())
    page.write_page(leakage_page(found, placed, tried, folder.resolve().name), folder / PAGE)
    return text


def report(folder: Path, out: Path | None = None) -> list[Path]:
    """Write the page alone, by default leakage.html in the folder; all paths, the page first."""
    found = summaries(rows.read(folder / LEDGER))
    shown = leakage_page(found, places(found), _crafted(folder), folder.resolve().name)
    return page.write_page(shown, out or folder / PAGE)


def is_one(folder: Path) -> bool:
    """Whether this is the folder of a study of leakage: its ledger's rows have members."""
    if not (folder / LEDGER).is_file():
        return False
    with (folder / LEDGER).open("rb") as file:
        return b'"members"' in file.readline()


def _crafted(folder: Path) -> list[dict[str, Any]]:
    path = folder / CRAFTED
    try:
        found: list[dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else []
    except ValueError:
        raise Refused(f"{path} can't be read; remove it and run the study's command again") from None
    return found


def _text(found: list[Summary], placed: list[Place], tried: list[dict[str, Any]]) -> str:
    parts = ["# What leaked", *table.notes(found)]
    if found:
        parts += ["## Accuracy and leakage", "\n".join(table_lines(_table("", *table.accuracy(found, placed))))]
        parts += ["## Every attack", "\n".join(table_lines(_table("", *table.every(found))))]
        parts += [f"- {attacker}: {sees}." for attacker, sees in table.attackers(found).items()]
    if tried:
        parts += ["## Crafted networks", "\n".join(table_lines(_table("", *table.crafted(tried))))]
    return "\n\n".join(parts) + "\n"

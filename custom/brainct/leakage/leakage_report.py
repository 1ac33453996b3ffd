"""The tables and the page of a study's folder: table.md, and leakage.html with its pictures, next to the ledger."""

import json
from pathlib import Path
from typing import Any

from brainct.compare.ledger import LEDGER, read_rows
from brainct.compare.markdown import render_markdown
from brainct.core import serialization
from brainct.errors import Refused
from brainct.leakage.accuracy_tradeoff import tradeoffs_of
from brainct.leakage.attack_results import VariantResult, summarise
from brainct.leakage.federation_row import FederationRow
from brainct.leakage.leakage_page import leakage_page
from brainct.leakage.leakage_tables import study_sections
from brainct.pages.page import Page, write_page

CRAFTED, PAGE = "crafted.json", "leakage.html"


def write_tables_and_page(folder: Path) -> str:
    """Write table.md and leakage.html of a folder, and return the tables."""
    if not (folder / LEDGER).is_file():
        raise Refused(f"no {LEDGER} in {folder}; correct the folder, or run `brainct leakage --plan FILE` first")
    found = _results(folder)
    text = "# What leaked\n\n" + render_markdown(study_sections(found, tradeoffs_of(found), _read_crafted(folder)))
    serialization.write(folder / "table.md", text.encode())
    write_page(_page(found, folder), folder / PAGE)
    return text


def write_leakage_page(folder: Path, out: Path | None = None) -> list[Path]:
    """Write the page alone, by default as leakage.html in the folder; returns all paths, the page first."""
    return write_page(_page(_results(folder), folder), out or folder / PAGE)


def is_leakage_folder(folder: Path) -> bool:
    """Whether this is the folder of a study of leakage: its ledger's rows have members."""
    if not (folder / LEDGER).is_file():
        return False
    with (folder / LEDGER).open("rb") as file:
        return b'"members"' in file.readline()


def _results(folder: Path) -> list[VariantResult]:
    return summarise(read_rows(folder / LEDGER, FederationRow))


def _page(found: list[VariantResult], folder: Path) -> Page:
    return leakage_page(found, tradeoffs_of(found), _read_crafted(folder), folder.resolve().name)


def _read_crafted(folder: Path) -> list[dict[str, Any]]:
    path = folder / CRAFTED
    try:
        found: list[dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else []
    except ValueError:
        raise Refused(f"{path} can't be read; remove it and run the study's command again") from None
    return found

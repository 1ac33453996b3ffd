"""A page: sections of text, tables and pictures, rendered as one HTML file that loads nothing from a network."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from brainct.core import serialization
from brainct.pages.picture import Picture, write_pictures

Cell = str | int


@dataclass(frozen=True)
class Table:
    """A table: caption, names of the columns, rows; the first column names the row."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Example:
    """One sample: its picture, a title with truth and prediction, and whether the prediction is right."""

    picture: Picture
    right: bool
    title: str


@dataclass(frozen=True)
class Section:
    """A part of a page; shows text, pictures, examples, tables, terms and notes, in this order."""

    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    examples: Sequence[Example] = ()
    terms: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def anchor(self) -> str:
        """The name of the section in links."""
        return "".join(char if char.isalnum() else "-" for char in self.title.lower())

    @property
    def two_columns(self) -> bool:
        """Whether the picture and the table share one line: there is one of each, and the table is narrow."""
        return len(self.pictures) == len(self.tables) == 1 and len(self.tables[0].head) <= 5

    @property
    def all_pictures(self) -> list[Picture]:
        """The pictures of the section and of its examples."""
        return [*self.pictures, *(example.picture for example in self.examples)]


@dataclass(frozen=True)
class Page:
    """A whole page. kicker: the small line above the title. warnings: shown first.

    answers: questions, each with the sentences that answer it. first: its pictures follow the answers.
    """

    title: str
    subtitle: str
    warnings: Sequence[str]
    answers: Sequence[tuple[str, Sequence[str]]]
    first: Section
    sections: Sequence[Section]
    footer: str
    kicker: str = "brainct report"


def write_page(page: Page, path: Path) -> list[Path]:
    """Write NAME.html and its pictures into the folder NAME-pictures next to it; return all paths, the page first."""
    serialization.write(path, render_page(page).encode())
    pictures = [picture for section in (page.first, *page.sections) for picture in section.all_pictures]
    folder = path.with_name(f"{path.stem}-pictures")
    for kind in ("png", "svg"):  # an earlier report may have shown pictures that this one must not show
        for earlier in folder.glob(f"*.{kind}"):
            earlier.unlink()
    return [path, *write_pictures(pictures, folder)]


def render_page(page: Page) -> str:
    """The page as HTML, every text escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("brainct.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = _data_uri
    return environment.get_template("page.html.j2").render(page=page)


def _data_uri(content: bytes, kind: str) -> str:
    media = {"svg": "image/svg+xml", "png": "image/png"}[kind]
    return f"data:{media};base64,{base64.b64encode(content).decode()}"

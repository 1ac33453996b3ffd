"""A page: sections of text, tables and pictures, rendered as one HTML file that asks nothing of any network."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from brainct.core import serialization
from brainct.pages.charts import Picture
from brainct.pages.charts import write as write_pictures

Cell = str | int


@dataclass(frozen=True)
class Table:
    """A table: its caption, the names of its columns, its rows; the first column names the row."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Example:
    """One scan: the picture, what is true, what the model said, and whether that was right."""

    picture: Picture
    right: bool
    title: str


@dataclass(frozen=True)
class Section:
    """A part of a page, shown in this order: text, pictures, examples, tables, terms, notes."""

    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    examples: Sequence[Example] = ()
    terms: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def anchor(self) -> str:
        """The section's name in links."""
        return "".join(char if char.isalnum() else "-" for char in self.title.lower())

    @property
    def beside(self) -> bool:
        """Whether its one picture has room for its one narrow table beside it."""
        return len(self.pictures) == len(self.tables) == 1 and len(self.tables[0].head) <= 5

    @property
    def shown(self) -> list[Picture]:
        """All pictures of the section."""
        return [*self.pictures, *(example.picture for example in self.examples)]


@dataclass(frozen=True)
class Page:
    """warnings: what a reader must see first. answers: page one, a question and the sentences that answer it."""

    title: str
    subtitle: str
    warnings: Sequence[str]
    answers: Sequence[tuple[str, Sequence[str]]]
    first: Section
    sections: Sequence[Section]
    footer: str


def write(page: Page, path: Path) -> list[Path]:
    """Write the page, and its pictures beside it in the folder NAME-pictures; all paths, the page first."""
    serialization.write(path, render(page).encode())
    pictures = [picture for section in (page.first, *page.sections) for picture in section.shown]
    beside = path.with_name(f"{path.stem}-pictures")
    for kind in ("png", "svg"):  # of an earlier report, which may have shown what this one may not
        for earlier in beside.glob(f"*.{kind}"):
            earlier.unlink()
    return [path, *write_pictures(pictures, beside)]


def render(page: Page) -> str:
    """The page as HTML; every text in it is escaped."""
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

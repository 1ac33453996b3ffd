"""The pages: their links resolve, the code that they name exists, and what is generated is current."""

import importlib
import re
from pathlib import Path

import pytest
import typer

from brainct.catalogue import rooms
from brainct.cli.main import app
from brainct.schemes import SCHEMES
from tests.conftest import ROOT

PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "provisioning").rglob("*.md")]
    if path.name != "table.md"
)
"""All pages for people. table.md: written by `brainct compare`, without links or names of code."""

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.M | re.S)
NAME = re.compile(r"\bbrainct(?:\.[A-Za-z_]\w*)+")
NO_CODE = re.compile(r"brainct\.(yaml|yml|consortium|rules)\b")


def anchors(text: str) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken(page: Path, text: str) -> list[str]:
    found = []
    for target in LINK.findall(FENCE.sub("", text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path
        if not file.exists():
            found.append(f"{page.relative_to(ROOT)}: {target} does not exist")
        elif anchor and anchor not in anchors(file.read_text() if path else text):
            found.append(f"{page.relative_to(ROOT)}: {target} names a heading that is not there")
    return found


def unknown(text: str) -> list[str]:
    names = {name for name in NAME.findall(text) if not NO_CODE.match(name)}
    return [f"{name} can't be imported" for name in sorted(names) if not exists(name)]


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or a class, function or constant in one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def commands(text: str) -> list[str]:
    """Every command line of brainct in a block or between backticks, continued lines joined and comments cut."""
    text = re.sub(r"\\\n\s*", " ", text)
    blocks = re.findall(r"^(?:    |\$ |)(?:[A-Z_]+=\S+ )?brainct ([a-z].*)$", text, re.M)
    inline = re.findall(r"`brainct ([a-z][^`]*)`", text.replace("\n", " "))
    return [line.partition("#")[0].strip() for line in [*blocks, *inline]]


def unknown_in_command(line: str) -> list[str]:
    """Words of a command line that the command does not have: its name, its subcommand, its options."""
    words, command = line.split(), typer.main.get_command(app)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return words[:1]
        command = command.commands[words.pop(0)]
    options = {name for parameter in command.params for name in parameter.opts}
    return [word for word in words if word.startswith("--") and word.partition("=")[0] not in {*options, "--help"}]


ALL = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@ALL
def test_every_link_between_pages_resolves(page):
    assert broken(page, page.read_text()) == []


@ALL
def test_every_name_of_code_on_a_page_exists(page):
    assert unknown(page.read_text()) == []


@ALL
def test_every_command_on_a_page_exists_with_its_options(page):
    found = {line: unknown_in_command(line) for line in commands(page.read_text())}
    assert {line: words for line, words in found.items() if words} == {}


def test_a_wrong_command_and_a_wrong_option_are_found():
    block = "    brainct reherse jobs/x\n    A=b brainct rehearse x \\\n      --sitess 4 # --no\n"
    text = f"{block}See `brainct runs lost KIT`."
    assert [unknown_in_command(line) for line in commands(text)] == [["reherse"], ["--sitess"], ["lost"]]


def test_a_broken_link_and_a_wrong_name_are_found():
    links = "[a](no.md) [b](#nowhere) [c](../README.md#two-commands) [d](#here) [e](https://example.org)\n## Here\n"
    assert broken(ROOT / "docs" / "glossary.md", links) == [
        "docs/glossary.md: no.md does not exist",
        "docs/glossary.md: #nowhere names a heading that is not there",
    ]
    names = "brainct.nowhere.x brainct.core.scheme.Plan brainct.yaml `brainct.core.scheme.Scheme`"
    assert unknown(names) == ["brainct.core.scheme.Plan can't be imported", "brainct.nowhere.x can't be imported"]


def test_the_picture_of_the_rooms_is_current():
    page = (ROOT / "docs" / "architecture.md").read_text()
    assert rooms.architecture_page(page) == page, "run `brainct schemes --write`"


def test_the_map_in_the_readme_has_every_room():
    found = (ROOT / "README.md").read_text().partition("## Where things are")[2]
    mapped = {room for line in found.splitlines() if line.startswith("    ") for room in line[:45].split()}
    assert [room for room in rooms.imports() if room not in mapped] == []


def test_the_review_places_every_scheme():
    review = (ROOT / "docs" / "literature.md").read_text()
    assert [name for name in SCHEMES if f"`{name}`" not in review] == []

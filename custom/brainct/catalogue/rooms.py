"""The rooms of the package, read from its own sources: one line each, and the picture of who imports whom."""

import ast
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from brainct.errors import Refused

PACKAGE = Path(__file__).resolve().parent.parent
BEGIN = "<!-- rooms: written by `brainct schemes --write` from the package's own sources -->\n"
END = "<!-- end of the rooms -->\n"

Arrows = Mapping[str, frozenset[str]]


def architecture_page(text: str, package: Path = PACKAGE) -> str:
    """The page with the part between its two marks written anew: the picture and the table of rooms.

    Refused where the page lacks the marks, a room has no docstring, or rooms import each other in a circle.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise Refused(f"docs/architecture.md lacks the lines {BEGIN.strip()} and {END.strip()}; put them back")
    arrows = imports(package)
    return f"{before}{begin}\n{_picture(arrows)}\n{_table(arrows, package)}{end}{after}"


def imports(package: Path = PACKAGE) -> Arrows:
    """For every room the other rooms that its files import, also inside functions.

    A room is a folder of the package, or a module at its top such as errors.py; folders within a room belong to it.
    """
    rooms = {path.stem: path for path in sorted(package.iterdir()) if _is_room(path)}
    found = {room: {name for file in _files(path) for name in _imported(file)} for room, path in rooms.items()}
    return {room: frozenset(names & rooms.keys() - {room}) for room, names in found.items()}


def reduced(arrows: Arrows) -> Arrows:
    """The fewest arrows from which all others follow: an arrow that a longer way replaces is left out."""
    order(arrows)
    reach = _reach(arrows)
    return {
        room: frozenset(name for name in below if not any(name in reach[other] for other in below))
        for room, below in arrows.items()
    }


def order(arrows: Arrows) -> list[str]:
    """The rooms from the top down, each above all that it imports; those of one floor by name."""
    floors: dict[str, int] = {}
    while len(floors) < len(arrows):
        ready = [room for room in arrows if room not in floors and arrows[room] <= floors.keys()]
        if not ready:
            raise Refused(f"rooms import each other in a circle: {', '.join(_circle(arrows, floors.keys()))}")
        floors |= {room: 1 + max((floors[name] for name in arrows[room]), default=-1) for room in ready}
    return sorted(arrows, key=lambda room: (-floors[room], room))


def _circle(arrows: Arrows, below: Collection[str]) -> list[str]:
    """Of the rooms that are not below, those without the ones that only stand above a circle."""
    left = arrows.keys() - set(below)
    while above := {room for room in left if not any(room in arrows[other] for other in left)}:
        left -= above
    return sorted(left)


def _is_room(path: Path) -> bool:
    return (path / "__init__.py").is_file() or (path.suffix == ".py" and path.stem != "__init__")


def _files(room: Path) -> list[Path]:
    return sorted(room.rglob("*.py")) if room.is_dir() else [room]


def _imported(file: Path) -> Iterator[str]:
    """The second part of every `brainct.room...` that a file imports."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("brainct."))


def _reach(arrows: Arrows) -> dict[str, frozenset[str]]:
    """All rooms below each room, near and far."""
    reach: dict[str, frozenset[str]] = {}
    for room in reversed(order(arrows)):
        reach[room] = arrows[room].union(*(reach[name] for name in arrows[room]))
    return reach


def _picture(arrows: Arrows) -> str:
    fewest = reduced(arrows)
    lines = [f"    {room} --> {name}" for room in order(arrows) for name in sorted(fewest[room])]
    return "```mermaid\nflowchart TD\n" + "\n".join(lines) + "\n```\n"


def _table(arrows: Arrows, package: Path) -> str:
    rows = "".join(f"| `{room}` | {_purpose(package, room)} |\n" for room in order(arrows))
    return f"| room | what is in it |\n|---|---|\n{rows}"


def _purpose(package: Path, room: str) -> str:
    """The first line of the room's docstring."""
    file = package / room / "__init__.py" if (package / room).is_dir() else package / f"{room}.py"
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    if not text:
        raise Refused(f"{file} has no docstring; its first line says what is in the room")
    return text.splitlines()[0]

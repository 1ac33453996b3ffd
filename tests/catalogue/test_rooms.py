"""The picture of the rooms is drawn from the sources: the fewest arrows, from the top down, and no circle."""

import pytest

from brainct.catalogue.rooms import BEGIN, END, architecture_page, imports, order, reduced
from brainct.errors import Refused


@pytest.fixture
def package(tmp_path):
    """Four rooms: roof imports all, of wall and floor each its neighbour, in every way in which Python imports."""
    sources = {
        "roof/__init__.py": '"""What is on top."""\n',
        "roof/inner/__init__.py": "",
        "roof/inner/tiles.py": "import brainct.wall.brick\n",
        "roof/beam.py": "def late():\n    from brainct.floor import board\n    from brainct import ground\n",
        "wall/__init__.py": '"""What holds the roof.\n\nMore."""\n',
        "wall/brick.py": "import os\nfrom brainct.floor.board import nail\nfrom brainct.wall import mortar\n",
        "floor/__init__.py": '"""What holds the walls."""\n',
        "floor/board.py": "from brainct import ground\n",
        "ground.py": '"""What holds everything."""\n',
        "notes.txt": "no room",
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_room_imports_what_any_of_its_files_imports(package):
    assert imports(package) == {
        "roof": {"wall", "floor", "ground"},
        "wall": {"floor"},
        "floor": {"ground"},
        "ground": set(),
    }


def test_only_arrows_that_no_longer_way_replaces_are_drawn(package):
    assert reduced(imports(package)) == {"roof": {"wall"}, "wall": {"floor"}, "floor": {"ground"}, "ground": set()}


def test_a_room_stands_above_all_that_it_imports():
    assert order({"a": frozenset("bc"), "b": frozenset(), "c": frozenset("b")}) == ["a", "c", "b"]


def test_a_circle_is_refused_by_the_rooms_in_it():
    arrows = {"top": frozenset("a"), "a": frozenset("b"), "b": frozenset("ac"), "c": frozenset()}
    with pytest.raises(Refused, match="circle: a, b$"):
        order(arrows)


def test_the_page_keeps_what_is_outside_its_marks(package):
    page = architecture_page(f"before\n{BEGIN}of old\n{END}after\n", package)
    assert page.startswith(f"before\n{BEGIN}")
    assert page.endswith(f"{END}after\n")
    assert "of old" not in page
    assert "    roof --> wall\n    wall --> floor\n    floor --> ground\n" in page
    assert "| `wall` | What holds the roof. |\n" in page
    assert architecture_page(page, package) == page


def test_a_page_without_marks_and_a_room_without_a_purpose_are_refused(package):
    with pytest.raises(Refused, match="lacks the lines"):
        architecture_page("no marks", package)
    (package / "wall" / "__init__.py").write_text("")
    with pytest.raises(Refused, match="no docstring"):
        architecture_page(BEGIN + END, package)

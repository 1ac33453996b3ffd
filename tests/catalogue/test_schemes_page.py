"""The pages made from the registry: a picture for each family, in lines that fit, and findings when one is wrong."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from brainct.catalogue import schemes_page
from brainct.catalogue.round_diagrams import PICTURED, file_of, says, svg
from brainct.errors import Refused
from brainct.schemes import SCHEMES
from brainct.schemes.fedavg import fedavg


@pytest.mark.parametrize("family", sorted(PICTURED))
def test_every_line_of_a_picture_fits_its_box(family):
    one = PICTURED[family]
    assert max(len(one.holds), len(one.combines)) <= 96
    for lines in (one.does, one.stays):
        assert 1 <= len(lines) <= 2
        assert max(map(len, lines)) <= 34
    assert len(one.stays[0]) <= 30
    for labels in (one.down, one.up):
        assert len(labels) in (1, 3)
        for label in labels:
            assert len(label.split("\n")) <= 3
            assert max(map(len, label.split("\n"))) <= 15


@pytest.mark.parametrize("family", sorted(PICTURED))
def test_a_picture_says_in_words_what_it_shows(family):
    root = ElementTree.fromstring(svg(family))
    words = root.find("{http://www.w3.org/2000/svg}desc").text
    assert words == root.get("aria-label") == says(family)
    assert PICTURED[family].holds in words


def test_every_family_of_the_registry_has_a_picture_and_the_page_shows_it():
    page = schemes_page.schemes()
    for family, names in schemes_page.families().items():
        assert f"](rounds/{file_of(family)})" in page
        assert names


def test_a_missing_a_changed_and_a_strange_picture_are_found(tmp_path):
    schemes_page.write(tmp_path)
    assert schemes_page.check(tmp_path) == []
    (tmp_path / "rounds" / "robust.svg").unlink()
    (tmp_path / "rounds" / "drift.svg").write_text("<svg/>")
    (tmp_path / "rounds" / "old.svg").write_text("<svg/>")
    assert schemes_page.check(tmp_path) == [
        "docs/rounds/drift.svg is not what the registry says; run `brainct schemes --write`",
        "docs/rounds/robust.svg is not what the registry says; run `brainct schemes --write`",
        "docs/rounds/old.svg is of no family; remove it",
    ]


def test_a_family_without_a_picture_is_found(monkeypatch, tmp_path):
    schemes_page.write(tmp_path)
    monkeypatch.delitem(schemes_page.PICTURED, "robust")
    assert schemes_page.check(tmp_path)[0] == (
        "family 'robust' has no picture of its round; add a row to PICTURED in pictures_of_rounds.py"
    )


def test_a_scheme_whose_quorum_says_nothing_is_named(monkeypatch):
    monkeypatch.setitem(SCHEMES, "fedavg", lambda: replace(fedavg(), quorum=lambda asked: asked))
    with pytest.raises(Refused, match="fedavg: its `quorum` has no docstring; give it one line"):
        schemes_page.schemes()

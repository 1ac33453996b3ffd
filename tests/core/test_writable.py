"""A folder of results is tried before anything runs, and names are counted where there are many."""

import pytest

from brainct.core.names import listing, reasons_of
from brainct.core.writable import check_writable
from brainct.errors import Refused


@pytest.mark.parametrize("place", ["file", "file/below", "file/below/further"])
def test_a_place_where_no_folder_can_be_is_refused_by_its_name(tmp_path, place):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(Refused, match=r"results can't be written to .*file.*name another folder"):
        check_writable(tmp_path / place)


def test_a_trial_leaves_nothing_behind(tmp_path):
    check_writable(tmp_path / "new" / "newer")
    check_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_few_names_are_shown_and_many_are_counted():
    assert listing(["b", "a"]) == "a, b"
    assert listing([f"site-{number:03}" for number in range(441)]) == "441 sites (site-000, site-001, ...)"


def test_many_sites_with_one_reason_share_a_sentence():
    assert reasons_of({"b": "late", "a": "lost"}) == ["a: lost", "b: late"]
    many = {f"site-{number:03}": "no reply in time" for number in range(441)}
    assert reasons_of(many, "{} ({})") == ["441 sites (site-000, site-001, ...) (no reply in time)"]
    assert len(reasons_of({site: f"{site} is lost" for site in many})) == 9

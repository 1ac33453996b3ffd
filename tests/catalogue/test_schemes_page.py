"""docs/schemes.md: a diagram for each family, a row and a block for each scheme, and when it is out of date."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from brainct.catalogue import round_bytes, schemes_page
from brainct.catalogue.families import FAMILIES, Family
from brainct.core.scheme import Factory
from brainct.errors import Refused
from brainct.schemes import SCHEMES, about
from brainct.schemes.fedavg import fedavg

ARROW = re.compile(r"(S|A|B|C)->>(S|A|B|C): \S.*")
NOTE = re.compile(r"Note over (S|A|B|C)(,(A|B|C))?: \S.*")
PARTICIPANT = re.compile(r"participant (S|A|B|C) as (server|site [ABC]|Byzantine site [ABC])")


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_diagram_has_only_lines_that_mermaid_reads(family):
    lines = FAMILIES[family].round.strip().splitlines()
    assert all(PARTICIPANT.fullmatch(line) or ARROW.fullmatch(line) or NOTE.fullmatch(line) for line in lines)
    assert not any(";" in line or "#" in line or re.search(r"\bend\b", line) for line in lines)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_in_a_diagram_every_site_sends_to_a_server_that_holds_and_combines(family):
    lines = FAMILIES[family].round.strip().splitlines()
    sites = {found[1] for line in lines if (found := PARTICIPANT.fullmatch(line))} - {"S"}
    senders = {found[1] for line in lines if (found := ARROW.fullmatch(line)) and found[2] == "S"}
    assert senders == sites
    assert sum(line.startswith("Note over S: ") for line in lines) == 2
    assert FAMILIES[family].diagram() in schemes_page.schemes()


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_every_scheme_has_a_row_and_a_block_with_its_capabilities_and_arguments(name):
    page, row, text = schemes_page.schemes(), about(name), schemes_page.block(name)
    assert f"\n| [`{name}`](#{name}) | {row.summary} | " in page
    assert text in page
    for one, words in schemes_page.CAPABILITIES.items():
        ruled_out = f"- Not possible: {words}, because {row.blocks.get(one)}\n"
        assert (ruled_out in text) == (one in row.blocks)
        assert (words in text.partition("- Possible: ")[2].partition("\n")[0]) == (one not in row.blocks)
    for argument in SCHEMES[name]().arguments:
        assert f"\n| `{argument}` | `" in text


def test_every_table_of_the_page_has_the_same_number_of_cells_in_all_its_rows():
    for table in re.findall(r"(?:^\|.*\|\n)+", schemes_page.schemes(), flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1, table


def test_every_summary_is_one_short_sentence():
    for name in SCHEMES:
        summary = about(name).summary
        assert re.fullmatch(r"[A-Z][^.]*\.", summary), summary
        assert len(summary) <= 115, summary


def test_a_missing_and_a_changed_page_are_found(tmp_path):
    wanted = ["docs/schemes.md differs from the registry; run `brainct schemes --write`"]
    assert schemes_page.check_docs(tmp_path) == wanted
    schemes_page.write_docs(tmp_path)
    assert schemes_page.check_docs(tmp_path) == []
    (tmp_path / "schemes.md").write_text("# Schemes\n")
    assert schemes_page.check_docs(tmp_path) == wanted


def test_bytes_that_a_dry_run_no_longer_finds_are_found(tmp_path, monkeypatch):
    stored = json.loads(round_bytes.STORED.read_text())
    others = {**{name: row for name, row in stored.items() if name != "local"}, "fedavg": [1, 2], "gone": [3, 4]}
    (tmp_path / "others.json").write_text(json.dumps(others))
    assert round_bytes.outdated() == []
    monkeypatch.setattr(round_bytes, "STORED", tmp_path / "others.json")
    round_bytes._stored.cache_clear()
    assert round_bytes.outdated() == ["fedavg", "gone", "local"]
    assert round_bytes.round_bytes("local") == tuple(stored["local"])
    assert schemes_page.check_docs(tmp_path)[0].startswith("round_bytes.json is out of date (fedavg, gone, local)")
    monkeypatch.undo()
    round_bytes._stored.cache_clear()


def test_the_table_of_schemes_loads_no_network_s_library():
    code = "import sys\nfrom brainct.cli.main import app\ntry: app(['schemes'])\nexcept SystemExit: pass\n"
    code += "print([name for name in ('monai', 'pandas', 'sklearn', 'matplotlib') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip().splitlines()[-1] == "[]"


def test_a_family_without_a_diagram_is_found(monkeypatch, tmp_path):
    others = {family: one for family, one in FAMILIES.items() if family != "robust"}
    monkeypatch.setattr(schemes_page, "FAMILIES", others)
    schemes_page.write_docs(tmp_path)
    assert schemes_page.check_docs(tmp_path) == [
        "family 'robust' has no diagram of its round; add it to FAMILIES in catalogue/families.py"
    ]
    assert "### `median`" in (tmp_path / "schemes.md").read_text()


def test_a_family_without_a_scheme_has_no_section(monkeypatch):
    more = {**FAMILIES, "quantum": Family("None yet.", "Note over S: nothing")}
    monkeypatch.setattr(schemes_page, "FAMILIES", more)
    assert "quantum" not in schemes_page.families()


def test_a_scheme_whose_quorum_says_nothing_is_named(monkeypatch):
    silent = Factory(lambda: replace(fedavg(), quorum=lambda asked: asked), fedavg.about)
    monkeypatch.setitem(SCHEMES, "fedavg", silent)
    with pytest.raises(Refused, match="fedavg: its `quorum` has no docstring; give it one line"):
        schemes_page.schemes()

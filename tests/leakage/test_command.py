"""`brainct leakage` as people type it: a study file becomes a ledger, tables and a page, a mistake one sentence."""

from functools import partial

import pytest
import yaml

from brainct.cli import main
from brainct.compare.ledger import LEDGER, append_row
from brainct.leakage import attack_results, leakage_report
from tests.conftest import TINY
from tests.support.reader import Seen
from tests.support.small_study import FIT, attacked, small

PLAN = {
    "federation": {"sites": 1, "scans": 4, "valid": 0, "test": 4, "outside": 0, "skew": "iid"},
    "federations": 4,
    "rounds": 1,
    "network": TINY,
    "fit": FIT,
    "schemes": ["fedavg"],
    "policies": {"noise": {"clip": 1.0, "noise": 1.0}},
}


def typed(capsys, *words):
    """Exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as ended:
        main.main(["leakage", *map(str, words)])
    printed = capsys.readouterr()
    return ended.value.code or 0, printed.out, printed.err


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Few resamples: what is tested is where numbers go."""
    monkeypatch.setattr(leakage_report, "summarise", partial(attack_results.summarise, resamples=20, draws=20))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished study of two schemes."""
    path = tmp_path_factory.mktemp("finished")
    for row in attacked(small("fedavg", "local", rounds=1)):
        append_row(path / LEDGER, row)
    return path


def test_a_study_file_becomes_a_ledger_tables_and_a_page(capsys, tmp_path):
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(PLAN))
    out = tmp_path / "out"
    code, printed, said = typed(capsys, "--plan", tmp_path / "plan.yaml", "--out", out, "--workers", 1)
    assert (code, said.splitlines()[0]) == (0, "4 federations, 0 of them done already")
    assert len((out / LEDGER).read_text().splitlines()) == 4
    assert "## Accuracy and leakage" in printed
    assert "| `noise` | imprint layer, gradient of fedsgd at 64 px | PASS | 0 of 4 |" in printed
    assert (out / "table.md").read_text() == printed.removesuffix("\n")
    code, again, said = typed(capsys, "--plan", tmp_path / "plan.yaml", "--out", out, "--workers", 1)
    assert (code, again, said.splitlines()) == (0, printed, ["4 federations, 4 of them done already"])


def test_the_page_states_a_lower_bound_and_never_a_proof(capsys, folder):
    code, printed, _ = typed(capsys, "show", folder)
    page = Seen((folder / "leakage.html").read_text())
    assert code == 0
    assert "A lower bound for these attacks" in page.text
    assert "Synthetic phantom scans" in page.text
    for text in (page.text, printed):
        assert "safe" not in text.lower()
    assert [one.name for one in (folder / "leakage-pictures").iterdir()]


def test_local_training_gives_nobody_anything_unless_it_is_stolen(capsys, folder):
    _, printed, _ = typed(capsys, "show", folder)
    line = next(line for line in printed.splitlines() if line.startswith("| `local` |"))
    assert "none: no trained value leaves a site" in line
    assert "own model, stolen" in printed


def test_the_report_command_makes_the_page_too(capsys, folder, tmp_path):
    with pytest.raises(SystemExit) as ended:
        main.main(["report", str(folder), "--out", str(tmp_path / "page.html")])
    assert not ended.value.code
    assert "A lower bound for these attacks" in (tmp_path / "page.html").read_text()
    assert "page.html" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ("schemes: [fedavg]\nrounds: x\n", "plan.yaml: rounds is 'x'"),
        ("schemes: [fedavg]\nshadows: 3\n", "unknown key 'shadows'"),
        ("- fedavg\n", "wanted lines of `key: value`"),
        ("schemes: [\n", "is not valid YAML"),
        ("schemes: [feddd]\n", "`feddd`"),
    ],
)
def test_a_wrong_study_file_is_refused_in_one_sentence(capsys, tmp_path, plan, said):
    (tmp_path / "plan.yaml").write_text(plan)
    code, _, error = typed(capsys, "--plan", tmp_path / "plan.yaml", "--out", tmp_path / "out")
    assert (code, said in error, error.count("\n")) == (2, True, 1)


def test_without_a_study_file_or_a_ledger_the_error_names_what_is_wanted(capsys, tmp_path):
    assert "wanted --plan FILE" in typed(capsys)[2]
    assert f"no {LEDGER} in {tmp_path}" in typed(capsys, "show", tmp_path)[2]
    assert "no study file at" in typed(capsys, "--plan", tmp_path / "none.yaml")[2]

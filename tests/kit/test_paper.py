"""The sheet for the data protection officer: filled from a real run and kit, with nothing of a patient in it."""

import json
import re
from xml.etree import ElementTree

import pytest

from brainct.core.names import site_names
from brainct.errors import Refused
from brainct.kit import policy_files
from brainct.kit.data_flow import data_flow
from brainct.kit.verdict import CheckResult, save_verdict
from brainct.run.rehearse import rehearse, resume
from tests.conftest import tiny_plan
from tests.support.command import refused, type_in
from tests.support.kills import killed, quiet
from tests.support.kit import Authority, hospital_kit, person_kit


@pytest.fixture
def kit(tmp_path):
    folder = hospital_kit(tmp_path / "kit", Authority(), name="site-1")
    policy_files.install_policy(folder, privacy="strict")
    return folder


def test_the_sheet_has_the_runs_and_the_sites_own_facts(kit, small_site, tmp_path, capsys):
    rehearse(tiny_plan(rounds=2), site_names(2), tmp_path / "run", log=lambda line: None)
    save_verdict([CheckResult("kit", "PASS", "x")], kit)
    code, out, _ = type_in(capsys, "paper", kit, tmp_path / "run", "--out", tmp_path / "sheet.html")
    assert code == 0
    text = re.sub(r"\s+", " ", (tmp_path / "sheet.html").read_text())
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    for wanted in (
        "Data protection sheet: site-1",
        "last site check PASS on",
        "In 2 of 2 rounds.",
        f"train {record['sites']['site-1']['folds']['train']['scans']}, valid ",
        "to be filled in by the hospital",
        "scans with and without each finding in each fold",
        "Withdrawal of a patient",
        "localhost:9",
        record["model_sha256"][:16],
    ):
        assert wanted in text, wanted
    assert "<script" not in text
    assert ElementTree.fromstring((tmp_path / "sheet-pictures" / "data-flow.svg").read_bytes()).tag.endswith("svg")


def test_another_hospitals_kit_and_a_persons_are_refused(kit, small_site, tmp_path, capsys):
    rehearse(tiny_plan(rounds=1), ["a", "b"], tmp_path / "run", log=lambda line: None)
    refused(capsys, "site-1 took no part in this run; its sites are a, b", "paper", kit, tmp_path / "run")
    refused(capsys, "is not a hospital's kit", "paper", person_kit(tmp_path / "lead"), tmp_path / "run")
    refused(capsys, "no record at", "paper", kit, tmp_path)


def test_names_can_not_become_markup_of_the_picture():
    picture = data_flow("<b>", 'x"&', "a policy of many words that go on and on " * 5)
    assert b"<b>" not in picture
    assert ElementTree.fromstring(picture).tag.endswith("svg")


def test_a_run_that_began_with_a_patients_scans_is_not_continued_without_them(small_site, tmp_path):
    """What the sheet says of a withdrawal: the run is refused, a new one trains without the patient."""
    plan = tiny_plan("fedavg", rounds=3)
    assert killed(lambda: rehearse(plan, site_names(2), tmp_path / "run", log=quiet), "between_state_and_record", 1)
    small_site.write_text(small_site.read_text().replace("scans: 16", "scans: 15"))
    with pytest.raises(Refused, match="are not those that the run began with"):
        resume(tmp_path / "run", log=quiet)

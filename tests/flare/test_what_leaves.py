"""What a provisioned server received, value by value, is what the list in docs/privacy.md says, and nothing else."""

import json
import os
from pathlib import Path

import pytest

from brainct.core import serialization
from brainct.flare.admin import submit_job
from brainct.flare.local_federation import Federation, free_port, provision
from brainct.job import folders
from brainct.run.rehearse import rehearse
from brainct.security.disclosures import ENVELOPE, INSIDE, check_reply, leaves, row_of, rows
from tests.conftest import PHANTOM, ROOT
from tests.support.faults import LEAD, ready
from tests.support.fewer import project_of
from tests.support.simulator import small_job

HOSPITALS = ["hospital-a", "hospital-b", "hospital-c"]
CAPTURE = [str(ROOT / "tests" / "flare" / folder) for folder in ("capture", "patching")]


@pytest.fixture(scope="module")
def captured(tmp_path_factory):
    """The answers that arrived, by hospital, with the places in FLARE's messages; and the run's model."""
    folder = tmp_path_factory.mktemp("what-leaves")
    (folder / "messages").mkdir()
    (folder / "site.yaml").write_text(PHANTOM)
    project = project_of(HOSPITALS, folder)
    kits = provision(project, folder / "f", ROOT / "provisioning" / "policy", free_port(), "standard")
    limits = {"networks": [{"architecture": "cnn", "options": {"widths": [8, 8]}}]}
    for name in HOSPITALS:
        file = kits / name / "local" / "privacy.json"
        policy = json.loads(file.read_text())
        policy["scopes"][0]["task_result_filters"][0]["args"]["limits"] |= limits
        file.write_text(json.dumps(policy))
    path = os.pathsep.join([*CAPTURE, str(ROOT / "custom")])
    extra = {"BRAINCT_SITE": str(folder / "site.yaml"), "CAPTURE": str(folder / "messages"), "PYTHONPATH": path}
    job = small_job(folder / "jobs", "secagg", evaluate_every=1)
    with Federation(kits, folder / "home", extra) as federation:
        federation.start()
        ready(federation)
        with federation.session(LEAD) as session:
            outcome = submit_job(session, job, folder / "out", lambda line: None)
    return folder / "messages", outcome.record, job


def messages(folder: Path):
    for file in sorted(folder.glob("*.json")):
        yield json.loads(file.read_text()), serialization.unpack(file.with_suffix(".safetensors").read_bytes())


@pytest.mark.slow
def test_every_value_that_a_server_received_has_a_row_in_the_list(captured):
    folder, record, _ = captured
    seen, found_rows = set(), set()
    for _, answer in messages(folder):
        check_reply(answer)
        found = {place: row_of(place) for place, value in leaves(answer)}
        found_rows |= {row for row in found.values() if row}
        seen |= {row.when for row in found.values() if row}
    assert seen == {row.when for row in rows()}
    sent = sum(len(list(folder.glob(f"{name}-*.json"))) for name in HOSPITALS)
    # the roll call, each round with its follow-up, validations after all rounds but the last, and the last evaluation
    assert sent == len(HOSPITALS) * (1 + 2 * len(record.rounds) + len(record.rounds) - 1 + 1)
    wheres = {row.where for row in found_rows}
    assert {"weights/{tensor}", "extra/{share}/{site}", "extra/boxes/{site}", "about/fingerprint"} <= wheres
    assert not wheres & {
        "metrics/{metric}",
        "scores/{finding}/calibration/{n}/scans",
        "scores/{finding}/confusion/{cell}",
    }


@pytest.mark.slow
def test_what_flare_adds_to_a_reply_is_in_the_list_too(captured):
    places, contexts = set(), []
    for about, _ in messages(captured[0]):
        places |= {place for place in about["places"] if not place.startswith(INSIDE)}
        contexts.append(about["context"])
    assert places <= set(ENVELOPE)
    assert set(ENVELOPE) - places <= {"DXO/data"}
    words = {value for context in contexts for value in context.values()}
    assert words - set(HOSPITALS) - {"True"} == {contexts[0]["__current_job_id__"]}


@pytest.mark.slow
def test_a_run_under_the_standard_policy_ends_with_the_rehearsed_model(captured, tmp_path, monkeypatch):
    _, record, job = captured
    (tmp_path / "site.yaml").write_text(PHANTOM)
    monkeypatch.setenv("BRAINCT_SITE", str(tmp_path / "site.yaml"))
    rehearsed = rehearse(folders.read(job), HOSPITALS, tmp_path / "out", log=lambda line: None).content
    assert record.model_sha256 == rehearsed["model_sha256"]

"""A run opened again: its plan, its record, its model, and at each site the model that the run evaluated there."""

import json
import shutil

import pytest

from brainct.core.weights import sha256
from brainct.errors import Refused
from brainct.run.model_file import model_sha256
from brainct.run.rehearse import rehearse
from brainct.run.replay import open_run
from tests.conftest import tiny_plan

SITES = ["site-1", "site-2"]


@pytest.mark.usefixtures("small_site")
@pytest.mark.parametrize("scheme", ["fedavg", "fedper", "sitenorm"])
def test_every_sites_model_scores_as_its_record_says(scheme, tmp_path):
    plan = tiny_plan(scheme, rounds=2, evaluate_every=0)
    record = rehearse(plan, SITES, tmp_path / "run", log=lambda line: None)
    replay = open_run(tmp_path / "run")
    model = replay.model()
    assert replay.plan == plan
    assert replay.record == record.record
    assert model_sha256(model.weights, model.extra) == record.record.model_sha256
    assert replay.sites == SITES
    for site in SITES:
        learner, weights = replay.in_use(site, model)
        assert learner.evaluate(weights, "test") == record.content["test"][site]
    personal = {sha256(replay.in_use(site, model)[1]) for site in SITES}
    assert len(personal) == (2 if scheme == "fedper" else 1)


def test_other_data_than_the_runs_and_folders_without_a_record_are_refused(tmp_path, small_site):
    rehearse(tiny_plan(rounds=1), SITES, tmp_path / "run", log=lambda line: None)
    replay = open_run(tmp_path / "run")
    replay.check_fingerprint("site-1", replay.record.sites["site-1"].fingerprint)
    with pytest.raises(Refused, match="site-2.s scans here are not those of .*run; .* set BRAINCT_SITE"):
        replay.check_fingerprint("site-2", "0" * 64)
    with pytest.raises(Refused, match="record.json does not exist; wanted the folder of a run"):
        open_run(tmp_path)
    other = shutil.copytree(tmp_path / "run", tmp_path / "other")
    content = json.loads((other / "record.json").read_text())
    content["plan"]["network"]["architecture"] = "oracle"
    (other / "record.json").write_text(json.dumps(content))
    with pytest.raises(Refused, match="record.json: the plan: network.architecture is 'oracle'"):
        open_run(other)

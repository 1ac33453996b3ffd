"""A run whose process is killed at any moment goes on from its last closed round to the model it would have had."""

import json
import multiprocessing
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from brainct.core import serialization
from brainct.core.names import site_names
from brainct.errors import Refused
from brainct.job import folders
from brainct.protocol.replies import Failure
from brainct.run import checkpoint
from brainct.run.rehearse import rehearse, resume
from brainct.site.agent import SiteAgent
from tests.conftest import NETWORK_FOR, tiny_plan
from tests.support.by_hand import sites_of
from tests.support.families import one_a_family
from tests.support.kills import PHASES, begun, check_chain, killed, quiet
from tests.support.requests import trains

pytestmark = pytest.mark.usefixtures("small_site")


CYCLE = 3
"""Rounds of a cycle of REPAIR on the tiny network: one of training, one for each hidden layer."""


@pytest.mark.parametrize("scheme", [pytest.param("feddc", marks=pytest.mark.slow), "scaffold"])
def test_a_run_killed_in_every_phase_ends_with_the_model_and_record_of_one_that_was_not(scheme, tmp_path):
    check_chain(tiny_plan(scheme, rounds=len(PHASES), evaluate_every=1), site_names(2), tmp_path)


@pytest.mark.slow
@one_a_family
def test_every_job_killed_in_every_phase_ends_with_the_model_of_one_that_was_not(name, tmp_path):
    choices = {key: value for key, value in folders.JOBS[name].items() if key == "arguments"}
    scheme = folders.JOBS[name]["scheme"]
    if name in NETWORK_FOR:
        choices["network"] = NETWORK_FOR[name]
    rounds = -(-len(PHASES) // CYCLE) * CYCLE if name == "rebasin_repair" else len(PHASES)
    plan = tiny_plan(scheme, **{"rounds": rounds, "evaluate_every": 1, "fit": {"augment": {"scanner": 0.5}}, **choices})
    check_chain(plan, site_names(len(sites_of(scheme))), tmp_path)


def test_the_resume_is_noted_with_its_round_and_time_and_the_seconds_go_on(tmp_path):
    begun(tmp_path / "out")
    before = checkpoint.load(tmp_path / "out" / "state", "out").record.seconds
    lines = []
    content = resume(tmp_path / "out", log=lines.append).content
    assert "run run continues after 2 of 4 rounds" in lines
    assert [note["round"] for note in content["resumed"]] == [2]
    assert content["resumed"][0]["time"].endswith("+00:00")
    assert content["seconds"] > before > 0
    assert json.loads((tmp_path / "out" / "record.json").read_text()) == content


def test_what_was_lost_on_purpose_stays_lost_after_a_resume(tmp_path):
    plan, lose = tiny_plan("fedavg", rounds=4), [("site-1", 0), ("site-2", 3)]
    wanted = rehearse(plan, site_names(3), tmp_path / "calm", lose=lose, log=quiet).content
    run = lambda: rehearse(plan, site_names(3), tmp_path / "out", lose=lose, log=quiet)  # noqa: E731
    assert killed(run, "between_state_and_record", 1)
    assert resume(tmp_path / "out", log=quiet, workers=2).content["model_sha256"] == wanted["model_sha256"]


def torn(path):
    path.write_bytes(path.read_bytes()[:-10])


def altered(path):
    content = serialization.load(path)
    content["memory"]["weights"]["head.bias"] += torch.finfo(torch.float32).eps
    serialization.save(path, content)


def rewritten(path):
    content = serialization.load(path)
    record = json.loads(content["record"])
    record["rounds"][0]["bytes_sent"] = {"site-1": 1}
    content["record"] = json.dumps(record)
    serialization.save(path, content)


def foreign(path):
    serialization.save(path, {"memory": {}})


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (torn, r"run out: memory.safetensors can't be read"),
        (foreign, r"run out: memory.safetensors can't be read"),
        (altered, r"run out: memory.safetensors is not what was written \(its hash differs\)"),
        (rewritten, r"run out: memory.safetensors is not what was written"),
        (Path.unlink, r"run out has no checkpoint to continue from"),
    ],
)
def test_a_state_that_is_torn_altered_or_missing_is_refused_by_name(tmp_path, harm, words):
    begun(tmp_path / "out")
    harm(tmp_path / "out" / "state" / checkpoint.FILE)
    with pytest.raises(Refused, match=words):
        resume(tmp_path / "out")


def test_a_finished_run_is_not_resumed(tmp_path):
    rehearse(tiny_plan(rounds=1), site_names(1), tmp_path / "out", log=quiet)
    with pytest.raises(Refused, match="run out is finished; its model is"):
        resume(tmp_path / "out")


def test_a_run_that_is_still_running_is_not_resumed(tmp_path):
    begun(tmp_path / "out")
    holds, done = multiprocessing.get_context("fork").Event(), multiprocessing.get_context("fork").Event()

    def hold():
        with checkpoint.lock(tmp_path / "out" / "state", "out"):
            holds.set()
            done.wait()

    process = multiprocessing.get_context("fork").Process(target=hold)
    process.start()
    holds.wait()
    with pytest.raises(Refused, match="run run is still running in another process"):
        resume(tmp_path / "out", log=quiet)
    done.set()
    process.join()
    assert "model_sha256" in resume(tmp_path / "out", log=quiet).content


def test_other_scans_than_the_run_began_with_are_refused_and_named(tmp_path, small_site):
    begun(tmp_path / "out")
    small_site.write_text(small_site.read_text().replace("scans: 16", "scans: 20"))
    with pytest.raises(Refused, match="the scans of site-1, site-2 are not those that the run began with"):
        resume(tmp_path / "out", log=quiet)


def test_another_plan_or_other_sites_are_refused_and_what_differs_is_said(tmp_path):
    begun(tmp_path / "out")
    found = checkpoint.load(tmp_path / "out" / "state", "out")
    checkpoint.check_job(found, tiny_plan("fedavg", rounds=4), ["site-2", "site-1"], "out")
    with pytest.raises(
        Refused, match=r"run out can't continue: rounds was 4 and is now 5; seed was 1 and is now 2; resume"
    ):
        checkpoint.check_job(found, tiny_plan("fedavg", rounds=5, seed=2), site_names(2), "out")
    with pytest.raises(Refused, match=r"sites was \['site-1', 'site-2'\] and is now \['site-1'\]"):
        checkpoint.check_job(found, tiny_plan("fedavg", rounds=4), site_names(1), "out")


def interrupted(folder, scheme="scaffold", after=3):
    """A run of five rounds that was stopped, and a copy of its state after two."""
    plan = tiny_plan(scheme, rounds=5, evaluate_every=0)

    def closed(row):
        if row["round"] == 1:
            shutil.copy(folder / "state" / checkpoint.FILE, folder / "earlier")
        if row["round"] == after:
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        rehearse(plan, site_names(2), folder, log=quiet, on_round_closed=closed)
    return folder / "state"


@pytest.mark.parametrize("scheme", ["scaffold", "fedper", "feddyn", "dynamic"])
def test_a_state_from_a_backup_that_is_older_than_what_sites_keep_is_refused(scheme, tmp_path):
    states = interrupted(tmp_path / "out", scheme)
    last = (states / checkpoint.FILE).read_bytes()
    (states / checkpoint.FILE).write_bytes((tmp_path / "out" / "earlier").read_bytes())
    with pytest.raises(Refused, match="has 2 closed rounds here, but site-1, site-2 took part in later ones"):
        resume(tmp_path / "out", log=quiet)
    (states / checkpoint.FILE).write_bytes(last)
    assert "model_sha256" in resume(tmp_path / "out", log=quiet).content


@pytest.mark.parametrize("scheme", ["scaffold", "fedper"])
def test_a_site_that_lost_or_took_back_what_it_kept_ends_the_resumed_run_before_it_trains(scheme, tmp_path):
    states = interrupted(tmp_path / "out", scheme)
    file = next((states / "client_state").rglob("site-2.safetensors"))
    content = file.read_bytes()
    older = {**serialization.unpack(content), "round": 1}
    for harm in (file.unlink, lambda: serialization.save(file, older)):
        harm()
        with pytest.raises(Refused, match="site-2 no longer has its client state of run"):
            resume(tmp_path / "out", log=quiet)
    file.write_bytes(content)
    assert "model_sha256" in resume(tmp_path / "out", log=quiet).content


def test_a_scheme_that_keeps_nothing_is_resumed_by_a_site_that_has_lost_everything(tmp_path):
    states = interrupted(tmp_path / "out", "fedavg")
    next((states / "client_state").rglob("site-2.safetensors")).unlink()
    assert "model_sha256" in resume(tmp_path / "out", log=quiet).content


def test_a_state_that_went_on_while_the_run_was_called_is_refused(tmp_path, monkeypatch):
    states = interrupted(tmp_path / "out", "fedavg")
    real = checkpoint.lock

    def late(folder, run):
        (states / checkpoint.FILE).write_bytes((tmp_path / "out" / "earlier").read_bytes())
        return real(folder, run)

    monkeypatch.setattr(checkpoint, "lock", late)
    with pytest.raises(Refused, match="continued in another process meanwhile; resume it again"):
        resume(tmp_path / "out", log=quiet)


def test_a_site_that_answered_and_had_nothing_to_keep_yet_is_not_taken_for_one_that_lost_it(tmp_path):
    """The first round of secagg collects keys; a site that is lost in the second one has kept nothing so far."""
    plan, real = tiny_plan("secagg", rounds=4, evaluate_every=0), SiteAgent.reply

    def reply(agent, request):
        lost = trains(request, 1) and agent.site == "site-2"
        return Failure("power cut") if lost else real(agent, request)

    def closed(row):
        if row["round"] == 1:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(SiteAgent, "reply", reply)
        rehearse(plan, site_names(4), tmp_path / "out", log=quiet, on_round_closed=closed)
    assert "model_sha256" in resume(tmp_path / "out", log=quiet).content

"""A run whose process is killed at any moment goes on from its last closed round to the model it would have had."""

import json
import multiprocessing
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from brainct.core import serialization
from brainct.core.names import site_names
from brainct.errors import Refused
from brainct.job import folders
from brainct.run import checkpoint
from brainct.run.rehearse import InProcess, rehearse, resume
from brainct.run.rounds import Run
from brainct.site.agent import SiteAgent
from tests.conftest import NETWORK_FOR, tiny_plan
from tests.schemes.test_contract import sites_of

pytestmark = pytest.mark.usefixtures("small_site")


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


class Faults:
    """Patches that kill the process in a round; each is a moment between two writes or two messages."""

    def __init__(self, number, monkeypatch):
        self.number, self.patch = number, monkeypatch

    def _carry(self, before):
        real = InProcess.__call__

        def transport(here, orders, inbox):
            asked = [order for order in orders.values() if order["what"] == "reply" and order["round"] == self.number]
            if asked and before:
                die()
            real(here, orders, inbox)
            if asked:
                die()

        self.patch.setattr(InProcess, "__call__", transport)

    def after_assign(self):
        self._carry(before=True)

    def during_replies(self):
        real = SiteAgent.answer

        def answer(agent, order):
            found = real(agent, order)
            if order["what"] == "reply" and order["round"] == self.number:
                die()
            return found

        self.patch.setattr(SiteAgent, "answer", answer)

    def after_replies_before_combine(self):
        self._carry(before=False)

    def after_combine_before_the_state_is_written(self):
        self._write(checkpoint.FILE, before=True)

    def while_the_state_is_written(self):
        real = os.replace

        def replace(source, target):
            if Path(target).name == checkpoint.FILE and self._closing():
                Path(source).write_bytes(Path(source).read_bytes()[:100])
                die()
            real(source, target)

        self.patch.setattr(os, "replace", replace)

    def between_state_and_record(self):
        self._write("record.json", before=True)

    def after_the_round_is_closed_before_validation(self):
        self._write("record.json", before=False)

    def in_validation(self):
        self._evaluate(self.number, "valid")

    def in_the_final_evaluation(self):
        self._evaluate(None, "test")

    def while_the_results_are_written(self):
        real = serialization.write

        def write(path, content, *more, **choices):
            real(path, content, *more, **choices)
            if path.name == "model.safetensors":
                die()

        self.patch.setattr(serialization, "write", write)

    def _closing(self):
        return self.run is not None and self.run.record.closed == self.number + 1

    def _write(self, name, before):
        real = serialization.write

        def write(path, content, *more, **choices):
            due = path.name == name and self._closing()
            if due and before:
                die()
            real(path, content, *more, **choices)
            if due:
                die()

        self.patch.setattr(serialization, "write", write)

    def _evaluate(self, number, fold):
        real = Run._evaluate

        def evaluate(run, memory, at, of):
            found = real(run, memory, at, of)
            if of == fold and at in (number, at if number is None else number):
                die()
            return found

        self.patch.setattr(Run, "_evaluate", evaluate)

    def arm(self, name):
        self.run = None
        real = Run.__init__

        def init(run, *args, **kwargs):
            real(run, *args, **kwargs)
            self.run = run

        self.patch.setattr(Run, "__init__", init)
        getattr(self, name)()


PHASES = [name for name in vars(Faults) if not name.startswith("_") and name != "arm"]
IN_A_ROUND = [name for name in PHASES if name.startswith(("after", "during", "between", "while_the_state", "in_val"))]


def killed(task, phase, number):
    """Run a task in a child process in which this phase of this round kills; whether it was killed."""

    def child():
        Faults(number, pytest.MonkeyPatch()).arm(phase)
        task()

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    return process.exitcode == -signal.SIGKILL


CYCLE = 3
"""Rounds of a cycle of REPAIR on the tiny network: one of training, one for each hidden layer."""


def quiet(line):
    pass


def check_chain(plan, sites, folder):
    """One run, killed in every phase, each in another round, and resumed after each."""
    wanted = rehearse(plan, sites, folder / "calm", log=quiet).content
    go = lambda: rehearse(plan, sites, folder / "out", log=quiet)  # noqa: E731
    for number, phase in enumerate(PHASES):
        assert killed(go, phase, min(number, plan.rounds - 2)), phase
        go = lambda: resume(folder / "out", log=quiet)  # noqa: E731
    check_same(resume(folder / "out", log=quiet).content, wanted, len(PHASES))


def check_same(found, wanted, resumed):
    assert found["model_sha256"] == wanted["model_sha256"]
    for key in ("sites", "test", "plan", "participation"):
        assert found[key] == wanted[key]
    for mine, theirs in zip(found["rounds"], wanted["rounds"], strict=True):
        assert {**mine, "seconds": 0, "answered": 0} == {**theirs, "seconds": 0, "answered": 0}
    assert len(found["resumed"]) == resumed


@pytest.mark.parametrize("scheme", ["feddc", "scaffold"])
def test_a_run_killed_in_every_phase_ends_with_the_model_and_record_of_one_that_was_not(scheme, tmp_path):
    check_chain(tiny_plan(scheme, rounds=len(PHASES), evaluate_every=1), site_names(2), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(folders.JOBS))
def test_every_job_killed_in_every_phase_ends_with_the_model_of_one_that_was_not(name, tmp_path):
    choices = {key: value for key, value in folders.JOBS[name].items() if key == "arguments"}
    scheme = folders.JOBS[name]["scheme"]
    if name in NETWORK_FOR:
        choices["network"] = NETWORK_FOR[name]
    rounds = -(-len(PHASES) // CYCLE) * CYCLE if name == "rebasin_repair" else len(PHASES)
    plan = tiny_plan(scheme, **{"rounds": rounds, "evaluate_every": 1, "fit": {"augment": {"scanner": 0.5}}, **choices})
    check_chain(plan, site_names(len(sites_of(scheme))), tmp_path)


def begun(folder, **choices):
    """A run killed while it closed round 2, with two rounds closed."""
    plan = tiny_plan("fedavg", rounds=4, **choices)
    assert killed(lambda: rehearse(plan, site_names(2), folder, log=quiet), "between_state_and_record", 1)


def test_the_resume_is_noted_with_its_round_and_time_and_the_seconds_go_on(tmp_path):
    begun(tmp_path / "out")
    before = checkpoint.load(tmp_path / "out" / "state", "out").record.seconds
    lines = []
    content = resume(tmp_path / "out", log=lines.append).content
    assert "run run goes on after 2 of 4 rounds" in lines
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
    content["record"]["rounds"][0]["lost"] = {}
    content["record"]["rounds"][0]["bytes_sent"] = {"site-1": 1}
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
        rehearse(plan, site_names(2), folder, log=quiet, closed=closed)
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
    plan, real = tiny_plan("secagg", rounds=4, evaluate_every=0), SiteAgent.answer

    def answer(agent, order):
        lost = order["what"] == "reply" and order["round"] == 1 and agent.site == "site-2"
        return {"error": "power cut", "exchange": order["exchange"]} if lost else real(agent, order)

    def closed(row):
        if row["round"] == 1:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(SiteAgent, "answer", answer)
        rehearse(plan, site_names(4), tmp_path / "out", log=quiet, closed=closed)
    assert "model_sha256" in resume(tmp_path / "out", log=quiet).content

"""Runs whose process is killed at a named moment, and what a resumed run is held against."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from brainct.core import serialization
from brainct.core.names import site_names
from brainct.run import checkpoint
from brainct.run.rehearse import InProcess, rehearse, resume
from brainct.run.rounds import Run
from brainct.site.agent import SiteAgent
from tests.conftest import tiny_plan
from tests.support.requests import trains


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


class Faults:
    """Patches that kill the process in a round; each is a moment between two writes or two messages."""

    def __init__(self, number, monkeypatch):
        self.number, self.patch = number, monkeypatch

    def _carry(self, before):
        real = InProcess.__call__

        def transport(here, requests, inbox):
            asked = [request for request in requests.values() if trains(request, self.number)]
            if asked and before:
                die()
            real(here, requests, inbox)
            if asked:
                die()

        self.patch.setattr(InProcess, "__call__", transport)

    def after_assign(self):
        self._carry(before=True)

    def during_replies(self):
        real = SiteAgent.reply

        def reply(agent, request):
            found = real(agent, request)
            if trains(request, self.number):
                die()
            return found

        self.patch.setattr(SiteAgent, "reply", reply)

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


def begun(folder, **choices):
    """A run killed while it closed round 2, with two rounds closed."""
    plan = tiny_plan("fedavg", rounds=4, **choices)
    assert killed(lambda: rehearse(plan, site_names(2), folder, log=quiet), "between_state_and_record", 1)

"""Loaded by each Python process of a federation under test: stops one at a named moment, so that it is killed there.

The environment variable BREAK names a folder. Its file `wanted.json` says where: a point, a round, a site. The process
that gets there first takes the file away, writes its process id to `reached`, and goes on once `reached` is gone. Its
file `pace`, if there is one, holds the seconds for which each site waits before each reply: rounds that last.
"""

import importlib.abc
import importlib.util
import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path


def reach(point, round, site=None):
    folder = Path(os.environ["BREAK"])
    with suppress(OSError, ValueError):
        wanted = json.loads((folder / "wanted.json").read_text())
        if (wanted["point"], wanted["round"]) != (point, round) or site not in (None, wanted["site"]):
            return
        (folder / "wanted.json").unlink()
        (folder / "reached.partial").write_text(str(os.getpid()))
        (folder / "reached.partial").rename(folder / "reached")
        while (folder / "reached").exists():
            time.sleep(0.02)


def pace():
    with suppress(OSError):
        time.sleep(float((Path(os.environ["BREAK"]) / "pace").read_text()))


def agent(module):
    real = module.SiteAgent.reply

    def reply(self, request):
        if request.kind == "train":
            reach("before the reply", request.round, self.site)
            pace()
        return real(self, request)

    module.SiteAgent.reply = reply


def learner(module):
    real = module.TorchLearner.fit

    def fit(self, *args, **kwargs):
        found = real(self, *args, **kwargs)
        reach("during the reply", self.round, self.site)
        return found

    module.TorchLearner.fit = fit


def inbox(module):
    real = module.Inbox.accept

    def accept(self, site, answer):
        found = real(self, site, answer)
        if self.name.startswith("round "):
            reach("after the reply", int(self.name.split()[1]), site)
        return found

    module.Inbox.accept = accept


def state(module):
    real = module.save

    def save(folder, found):
        real(folder, found)
        reach("closing the round", len(found.record.rounds) - 1)

    module.save = save


PATCHES = {
    "brainct.site.agent": agent,
    "brainct.training.learner": learner,
    "brainct.run.inbox": inbox,
    "brainct.run.checkpoint": state,
}


class Patching(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name not in PATCHES:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        real = spec.loader.exec_module

        def exec_module(module):
            real(module)
            PATCHES[name](module)

        spec.loader.exec_module = exec_module
        return spec


if "BREAK" in os.environ:
    sys.meta_path.insert(0, Patching())

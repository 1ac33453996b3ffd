"""Loaded by each Python process of a federation under test: stops one process at a named moment, where a test kills it.

The environment variable BREAK names a folder. Its file `wanted.json` names a point, a round and a site. The process
that gets there first removes the file, writes its process id to `reached`, and continues when `reached` is removed. Its
optional file `pace` contains the seconds that each site waits before each reply, for longer rounds.
"""

import json
import os
import time
from contextlib import suppress
from pathlib import Path

from import_patches import install


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


if "BREAK" in os.environ:
    install(PATCHES)

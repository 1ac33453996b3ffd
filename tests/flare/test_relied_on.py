"""The table of FLARE's names: complete, and true of the installed FLARE."""

import re

import nvflare
import pytest
from nvflare.apis.impl.controller import Controller
from nvflare.private.fed.app.simulator.simulator_runner import SimulatorRunner
from nvflare.private.fed.client import shell_cmd

from brainct.flare import relied_on


def test_the_installed_flare_is_the_one_of_the_table_and_changed_nothing():
    assert relied_on.changes() == [], "look at each, then `python -m brainct.flare.relied_on --write`"
    assert nvflare.__version__ == relied_on.TABLE["flare"]


def test_every_import_from_flare_is_in_the_table():
    assert relied_on.imported() - set(relied_on.TABLE["names"]) == set()


@pytest.mark.parametrize(
    ("owner", "name", "change", "words"),
    [
        (Controller, "broadcast", lambda self, task: None, "was 'self task fl_ctx .*' and is 'self task'"),
        (shell_cmd, "SHELL_CMD_VALIDATORS", None, "SHELL_CMD_VALIDATORS is gone"),
        (SimulatorRunner, "_cleanup_workspace", lambda self: None, "_cleanup_workspace was '[0-9a-f]{12}' and is '"),
    ],
)
def test_a_changed_name_is_found(owner, name, change, words, monkeypatch):
    if change is None:
        monkeypatch.delattr(owner, name)
    else:
        monkeypatch.setattr(owner, name, change)
    (found,) = relied_on.changes()
    assert re.search(words, found)

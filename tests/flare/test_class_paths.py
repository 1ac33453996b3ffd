"""The class paths that installed kits and submitted jobs name: they must stay importable under these names."""

from importlib import import_module

import pytest
from nvflare.apis.executor import Executor
from nvflare.apis.filter import Filter
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.impl.controller import Controller
from nvflare.apis.job_launcher_spec import JobLauncherSpec

PATHS = {
    "brainct.flare.server.Rounds": Controller,
    "brainct.flare.site.Site": Executor,
    "brainct.flare.filters.Privacy": Filter,
    "brainct.flare.filters.Remember": Filter,
    "brainct.flare.comeback.Launcher": JobLauncherSpec,
    "brainct.flare.comeback.Returning": FLComponent,
    "brainct.flare.shell.NoShell": FLComponent,
    "brainct.flare.revocation.Revocations": FLComponent,
}
"""Class path -> the class of FLARE that a kit or a job needs there."""


@pytest.mark.parametrize("path", PATHS)
def test_a_class_path_of_installed_kits_stays(path):
    module, _, name = path.rpartition(".")
    found = getattr(import_module(module), name)
    assert issubclass(found, PATHS[path])
    assert (found.__module__, found.__qualname__) == (module, name)


def test_the_policies_and_jobs_name_no_other_class_of_brainct():
    import re

    from tests.conftest import ROOT

    texts = [path.read_text() for folder in ("provisioning", "jobs", "poc") for path in (ROOT / folder).rglob("*.json")]
    assert set(re.findall(r"brainct\.flare\.\w+\.\w+", "\n".join(texts))) == set(PATHS)

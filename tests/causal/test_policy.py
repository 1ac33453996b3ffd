"""Searches for causes under the privacy policies that a hospital chooses from, as they are installed."""

import pytest

from brainct.core.names import site_names
from brainct.errors import Refused
from brainct.job import folders
from brainct.run.rehearse import rehearse
from brainct.security import policy_file
from tests.conftest import ROOT


@pytest.fixture
def ended(tmp_path, monkeypatch):
    monkeypatch.delenv("BRAINCT_SITE", raising=False)

    def under(name):
        policy = tmp_path / f"{name}.json"
        policy.write_bytes((ROOT / "provisioning" / "policy" / "privacy" / policy.name).read_bytes())
        monkeypatch.setenv(policy_file.ENVIRONMENT, str(policy))
        plan = folders.read(ROOT / "jobs" / "peri_environments")
        return rehearse(plan, site_names(3), tmp_path / name, log=lambda line: None).content

    return under


def test_standard_takes_part_and_changes_no_graph(ended):
    assert ended("standard")["model_sha256"] == ended("open")["model_sha256"]


def test_strict_takes_no_part(ended):
    with pytest.raises(Refused, match="by its privacy policy"):
        ended("strict")

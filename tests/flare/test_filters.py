"""A site's privacy policy in FLARE: the templates that name its filters; see also test_hostile."""

import json
import shutil

import pytest

from brainct.flare.filters import AT_SERVER, Privacy, Remember
from brainct.security import policy_file
from tests.conftest import ROOT
from tests.support.simulator import simulate, small_job

POLICIES = ROOT / "provisioning" / "policy" / "privacy"


@pytest.mark.parametrize("name", ["open", "standard", "strict"])
def test_the_filters_are_those_that_the_policy_templates_and_rehearsals_name(name):
    content = json.loads((POLICIES / f"{name}.json").read_text())
    (scope,) = content["scopes"]  # of two a job could choose the weaker
    assert content["default_scope"] == scope["name"]
    assert [row["path"] for row in scope["task_data_filters"]] == [f"{Remember.__module__}.{Remember.__name__}"]
    assert [row["path"] for row in scope["task_result_filters"]] == [f"{Privacy.__module__}.{Privacy.__name__}"]
    assert f"{Privacy.__module__}.{Privacy.__name__}" == policy_file.FILTER
    Privacy(**scope["task_result_filters"][0]["args"])


@pytest.mark.slow
def test_the_simulator_refuses_a_privacy_policy_that_it_would_apply_on_the_server(
    workspace,  # noqa: F811
    tmp_path,
    small_site,
):
    shutil.copy(POLICIES / "open.json", workspace / "local" / "privacy.json")
    code, text = simulate(small_job(tmp_path / "jobs", "fedavg"), workspace, 2)
    assert code == 2
    assert f"site-1: {AT_SERVER}" in text
